//! Properties of diff and executor: over a model world with faults, and over a real folder. No server.

mod executor;
mod model;

use std::collections::BTreeMap;

use proptest::prelude::*;
use windlass::diff::{Op, Rules, Which, diff};
use windlass::inventory::Inventory;
use windlass::plan::{Plan, StepId};
use windlass::target::World as _;
use windlass::target::dir::Dir;

use model::{Model, Wanted, pass, plan};

/// A revision: which objects it wants, with which value, from which file.
fn revision() -> impl Strategy<Value = Vec<Wanted>> {
    prop::collection::btree_map(0..8u8, (0..3u8, 0..4u8, prop::collection::vec(0..8u8, 0..3)), 1..8).prop_map(
        |objects| {
            objects
                .into_iter()
                .map(|(number, (value, file, needs))| Wanted {
                    number,
                    value,
                    path: format!("{file}.yaml"),
                    // Only smaller numbers, so that no circle arises.
                    needs: needs.into_iter().filter(|need| *need < number).collect(),
                })
                .collect()
        },
    )
}

fn lax() -> Rules {
    let mut rules = Rules { prune: true, ..Rules::default() };
    rules.budget.max_deletes = 1000;
    rules.budget.max_delete_percent = 100;
    rules
}

fn values(wanted: &[Wanted]) -> BTreeMap<StepId, String> {
    plan(wanted).steps.iter().map(|step| (step.id.clone(), step.hash.clone())).collect()
}

async fn quiet(world: &Model, plan: &Plan) -> bool {
    let inventory = world.load_inventory().await.unwrap().unwrap_or_default();
    let observed = world.observe(plan, &inventory, Which::All).await;
    diff(plan, &observed, &inventory, &lax(), Which::All).changes().values().all(|change| change.op == Op::Keep)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_revisions_ends_with_the_world_as_the_last_one(revisions in prop::collection::vec(revision(), 1..6)) {
        run(async {
            let world = Model::default();
            for wanted in &revisions {
                let applied = pass(&world, &plan(wanted), &lax()).await;
                prop_assert!(applied.failure.is_none());
                prop_assert_eq!(world.objects(), values(wanted));
                prop_assert!(quiet(&world, &plan(wanted)).await, "a second diff is all Keep");
                let writes = world.writes();
                pass(&world, &plan(wanted), &lax()).await;
                prop_assert_eq!(world.writes(), writes, "twice is once");
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_cut_after_any_write_leaves_nothing_unlisted_and_the_next_pass_converges(before in revision(), after in revision()) {
        run(async {
            for cut in 0..40 {
                let world = Model::default();
                pass(&world, &plan(&before), &lax()).await;
                world.cut_after(cut);
                let finished = world.until_cut(pass(&world, &plan(&after), &lax())).await;
                let listed = world.load_inventory().await.unwrap().unwrap_or_default();
                for id in world.objects().keys() {
                    prop_assert!(listed.entries.contains_key(id), "{} is not listed after write {}", id, cut);
                }
                world.heal();
                pass(&world, &plan(&after), &lax()).await;
                prop_assert_eq!(world.objects(), values(&after), "after a cut at write {}", cut);
                prop_assert!(quiet(&world, &plan(&after)).await);
                if finished {
                    break;
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_is_unknown_is_neither_made_nor_deleted(before in revision(), after in revision(), unknown in prop::collection::vec(0..8u8, 0..8)) {
        run(async {
            let world = Model::default();
            pass(&world, &plan(&before), &lax()).await;
            world.hide(&unknown);
            let inventory = world.load_inventory().await.unwrap().unwrap_or_default();
            let observed = world.observe(&plan(&after), &inventory, Which::All).await;
            let diff = diff(&plan(&after), &observed, &inventory, &lax(), Which::All);
            for number in &unknown {
                if let Some(change) = diff.changes().get(&model::id(*number)) {
                    prop_assert!(matches!(change.op, Op::Refuse(_)), "{:?}", change.op);
                }
            }
            world.hide(&[]);
            pass(&world, &plan(&after), &lax()).await;
            prop_assert_eq!(world.objects(), values(&after));
            Ok(())
        })?;
    }

    #[test]
    fn a_file_with_an_error_loses_nothing_it_declared(before in revision(), after in revision(), broken in 0..4u8) {
        run(async {
            let world = Model::default();
            pass(&world, &plan(&before), &lax()).await;
            let broken = format!("{broken}.yaml");
            let mut held = plan(&after.iter().filter(|wanted| wanted.path != broken).cloned().collect::<Vec<_>>());
            held.held.paths.insert(broken.clone());
            let present = after.iter().map(|wanted| &wanted.path).chain([&broken]).map(Into::into).collect();
            held.held.present = std::sync::Arc::new(present);
            pass(&world, &held, &lax()).await;
            let present = &held.held.present;
            for wanted in before.iter().filter(|wanted| wanted.path == broken || !present.contains(wanted.path.as_str())) {
                prop_assert!(world.objects().contains_key(&model::id(wanted.number)), "{} of {}", wanted.number, wanted.path);
            }
            Ok(())
        })?;
    }

    #[test]
    fn renaming_files_writes_no_object(wanted in revision()) {
        run(async {
            let world = Model::default();
            pass(&world, &plan(&wanted), &lax()).await;
            let (objects, writes) = (world.objects(), world.object_writes());
            let renamed: Vec<Wanted> = wanted.iter().map(|w| Wanted { path: format!("moved/{}", w.path), ..w.clone() }).collect();
            let applied = pass(&world, &plan(&renamed), &lax()).await;
            prop_assert_eq!(world.object_writes(), writes);
            prop_assert_eq!(world.objects(), objects);
            prop_assert!(applied.inventory.entries.values().all(|entry| entry.path.starts_with("moved/")));
            Ok(())
        })?;
    }

    #[test]
    fn failing_writes_harm_only_their_dependants(wanted in revision(), failing in 0..8u8) {
        run(async {
            let world = Model::default();
            world.fail(failing);
            pass(&world, &plan(&wanted), &lax()).await;
            let plan = plan(&wanted);
            let mut blocked = std::collections::BTreeSet::from([model::id(failing)]);
            for step in &plan.steps {
                if step.needs.iter().any(|need| blocked.contains(need)) {
                    blocked.insert(step.id.clone());
                }
            }
            for step in &plan.steps {
                prop_assert_eq!(world.objects().contains_key(&step.id), !blocked.contains(&step.id), "{}", step.id);
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_at_any_write_to_a_real_folder_converges(before in revision(), after in revision()) {
        run(async {
            for cut in 0..40 {
                let temp = tempfile::tempdir().unwrap();
                let (root, state) = (temp.path().join("out"), temp.path().join("state"));
                let open = || Dir::new(&root, &state, "ns", "sync", "repo");
                pass(&open(), &plan(&before), &lax()).await;
                let cutter = model::Cut::new(open(), cut);
                let finished = cutter.until_cut(pass(&cutter, &plan(&after), &lax())).await;
                let listed: Inventory = open().load_inventory().await.unwrap().unwrap_or_default();
                for file in files(&root) {
                    prop_assert!(listed.entries.keys().any(|id| windlass::target::dir::path::relative(id).as_ref() == Some(&file)), "{} is not listed", file);
                }
                pass(&open(), &plan(&after), &lax()).await;
                let wanted: Vec<String> = plan(&after).steps.iter().filter_map(|step| windlass::target::dir::path::relative(&step.id)).collect();
                let mut wanted = wanted;
                wanted.sort();
                prop_assert_eq!(files(&root), wanted);
                if finished {
                    break;
                }
            }
            Ok(())
        })?;
    }
}

fn files(root: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(root).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            files.push(format!("{}/{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy()));
        }
    }
    files.sort();
    files
}
