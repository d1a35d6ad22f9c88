//! The high-level families from a file to their steps: acceptance examples as they were published, every field of every
//! kind, and arbitrary bytes.

mod engula;
mod fuzz;
mod mutations;

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass::canonical;
use windlass::declared::{self, Context, Memo};
use windlass::expand;
use windlass::plan::Plan;
use windlass::problem::Problem;
use windlass::revision::{Content, File, Revision, Snapshot};

/// A revision of these files.
fn snapshot<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Snapshot {
    let files = files.into_iter().map(|(path, bytes)| {
        (path.into(), File { blob: canonical::hash_bytes(bytes).into(), content: Content::Read(Arc::from(bytes)) })
    });
    let revision = Revision { id: "0123456789abcdef".into(), ..Revision::default() };
    Snapshot { revision, files: files.collect::<BTreeMap<_, _>>(), ..Snapshot::default() }
}

/// What these files come to.
fn plan<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> (Plan, Vec<Problem>) {
    let (declared, mut problems) = declared::read(&snapshot(files), &Context::default(), &mut Memo::default());
    let (plan, more) = expand::expand(&declared);
    problems.extend(more);
    (plan, problems)
}
