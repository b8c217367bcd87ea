use proptest::prelude::*;

use super::*;

#[test]
fn a_document_becomes_blocks() {
    let text = "# Drain\n\nTake *one* `replica` out, see [docs](https://example.org).\n\n1. look\n2. act\n   - nested\n\n```sh timeout=5s\nls -l\n```\n\n| a | b |\n|---|---|\n| 1 | **2** |\n\n<script>alert(1)</script>\n";
    insta::assert_debug_snapshot!(blocks(text));
}

proptest! {
    #[test]
    fn any_text_gives_blocks(text in "[ \\-*_`#>\\[\\]()|!<>a-z0-9\n~]{0,200}") {
        let _blocks = blocks(&text);
    }
}

#[test]
fn deep_nesting_ends() {
    let deep = "> ".repeat(5000) + "end";
    assert!(!blocks(&deep).is_empty());
    let deep = "*a **b ".repeat(3000);
    assert!(!blocks(&deep).is_empty());
}
