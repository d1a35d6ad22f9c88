//! What the docs promise, held against the code.

mod manual;
