//! What an author reads when something does not stage: each file of `ui/` with the errors of its `.stderr`.
//!
//! `TRYBUILD=overwrite cargo test -p metatrace --test ui` accepts the messages of now.

#[test]
fn errors_name_the_remedy_at_the_authors_span() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/*.rs");
}
