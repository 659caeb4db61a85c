use super::*;
#[test]
fn placeholder() { assert!(Name::new("a").is_ok()); }
