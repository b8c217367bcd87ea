//! The demo's case, from the symptom to its end, by clicks and taps alone.

use bellwether::browser::{Browser, Window};
use bellwether::demo::set_fault;

use crate::support::{SLOW, Stage, fits, mark, not_reloaded, play, text_of};

/// Buttons of a case that a thumb can hit: so high and so wide at least, in CSS pixels.
const THUMB: f64 = 44.0;

#[test]
fn a_case_from_symptom_to_end_on_a_desktop_in_the_light() {
    play(story(Window::DESKTOP));
}

#[test]
fn a_case_from_symptom_to_end_on_a_phone_in_the_dark() {
    play(story(Window::PHONE.dark()));
}

async fn story(window: Window) {
    let stage = Stage::start().await;
    let browser = stage.visitor(window).await;
    browser
        .wait_within(
            "return document.querySelector('main')?.innerText.includes('web');",
            SLOW,
        )
        .await
        .unwrap();
    assert_eq!(hurts(&browser).await, "", "nothing hurts the users yet");
    mark(&browser).await;
    fits(&browser, "Now").await;

    // The symptom appears on the open page.
    set_fault(stage.service.address, "slow").await.unwrap();
    browser
        .wait_within(
            "return /hurt/.test(document.querySelector('main h1')?.textContent)
                 && [...document.querySelectorAll('.case-card')].some((card) => /on web/i.test(card.textContent));",
            SLOW,
        )
        .await
        .unwrap();
    not_reloaded(&browser).await;
    fits(&browser, "Now with a case").await;
    let card = text_of(&browser, "return [...document.querySelectorAll('.case-card')].find((card) => /on web/i.test(card.textContent)).id;").await;
    let case = card.trim_start_matches("card-").to_owned();

    // To the case: what the diagnosis saw is there.
    browser.click(&format!("#{card} h2 a")).await.unwrap();
    browser.wait_for("article.case").await.unwrap();
    browser.wait_for("p.live.on").await.unwrap();
    mark(&browser).await;
    browser
        .wait_until(
            "return /replica/.test(document.querySelector('#diagnosis')?.textContent || '');",
        )
        .await
        .unwrap();
    browser.wait_for("#main figure.chart svg").await.unwrap();
    fits(&browser, "the case").await;
    if window.phone {
        thumbs(&browser).await;
    }

    // Acknowledge: the owner shows without a reload.
    browser
        .click(".case-buttons button[data-key=a]")
        .await
        .unwrap();
    browser
        .wait_until(
            "return /acknowledged/i.test(document.querySelector('.case-head .over').textContent);",
        )
        .await
        .unwrap();
    browser
        .wait_until("return /you/i.test(document.querySelector('.case-head .facts').textContent);")
        .await
        .unwrap();
    not_reloaded(&browser).await;

    fix(&browser, &case).await;
    not_reloaded(&browser).await;
    fits(&browser, "the case at its end").await;
    timeline(&browser).await;

    // And Now is calm again.
    browser.open(&stage.url("/")).await.unwrap();
    browser
        .wait_until("return ![...document.querySelectorAll('.case-card')].some((card) => /on web/i.test(card.textContent));")
        .await
        .unwrap();
}

/// The heading of Now when users are hurt; else nothing.
async fn hurts(browser: &Browser) -> String {
    let heading = text_of(
        browser,
        "return document.querySelector('main h1').textContent;",
    )
    .await;
    if heading.contains("hurt") && !heading.starts_with("Nothing") {
        heading
    } else {
        String::new()
    }
}

/// The buttons that one needs at night are large enough, in view after one look, and nothing lies over them.
async fn thumbs(browser: &Browser) {
    let small = browser
        .run(&format!(
            "return [...document.querySelectorAll('.case-buttons .big, .case-buttons summary')]
                 .filter((button) => button.offsetParent)
                 .map((button) => [button.textContent.trim(), button.getBoundingClientRect()])
                 .filter(([, box]) => box.height < {THUMB} || box.width < {THUMB} || box.right > innerWidth || box.left < 0)
                 .map(([text, box]) => `${{text}}: ${{box.width}} x ${{box.height}} at ${{box.left}}`);"
        ))
        .await
        .unwrap();
    assert_eq!(small, serde_json::json!([]), "buttons for a thumb");
    let hidden = browser
        .run(
            "const button = document.querySelector('.case-buttons button[data-key=a]');
             button.scrollIntoView({ block: 'center' });
             const box = button.getBoundingClientRect();
             const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
             return button.contains(top) ? null : top?.outerHTML.slice(0, 120) || 'nothing';",
        )
        .await
        .unwrap();
    assert!(
        hidden.is_null(),
        "something lies over Acknowledge: {hidden}"
    );
}

/// The fix by two clicks; its steps, the check and the end show by themselves.
async fn fix(browser: &Browser, case: &str) {
    const CONFIRM: &str = ".case-buttons details.confirm";
    browser.wait_for(CONFIRM).await.unwrap();
    browser
        .click(&format!("{CONFIRM} > summary"))
        .await
        .unwrap();
    browser
        .click(&format!("{CONFIRM}[open] form button"))
        .await
        .unwrap();
    let path = text_of(browser, "return location.pathname;").await;
    assert_eq!(
        path,
        format!("/cases/{case}"),
        "the click stays on the case"
    );
    // The run is in the list, then under way or already done; the drain's own step shows its state.
    browser
        .wait_until("return document.querySelector('#runbook table tbody tr') !== null;")
        .await
        .unwrap();
    browser
        .wait_until("return document.querySelector('#runbook .step.change .badge') !== null;")
        .await
        .unwrap();
    browser
        .wait_within(
            "return /resolved/i.test(document.querySelector('.case-head .over').textContent);",
            SLOW,
        )
        .await
        .unwrap();
    browser
        .wait_within("return [...document.querySelectorAll('#timeline .quiet')].some((line) => /verify held/.test(line.textContent));", SLOW)
        .await
        .unwrap();
    browser
        .wait_within("return [...document.querySelectorAll('#timeline .quiet')].some((line) => /run succeeded/.test(line.textContent));", SLOW)
        .await
        .unwrap();
    browser
        .wait_until("return [...document.querySelectorAll('#runbook .step.change .badge')].some((badge) => /succeeded|done|ok/i.test(badge.textContent));")
        .await
        .unwrap();
}

/// The whole story is in the timeline, in the order in which it happened.
async fn timeline(browser: &Browser) {
    let kinds = browser
        .run("return [...document.querySelectorAll('#timeline ol.timeline > li > div > p.quiet')].map((line) => line.textContent.split(' · ').pop().trim()).reverse();")
        .await
        .unwrap();
    let kinds: Vec<&str> = kinds
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|kind| kind.as_str())
        .collect();
    for wanted in [
        "case opened",
        "context ready",
        "page sent",
        "acknowledged",
        "run started",
        "verify held",
        "resolved",
    ] {
        assert!(
            kinds.iter().any(|kind| kind == &wanted),
            "no {wanted:?} in {kinds:?}"
        );
    }
    let first = |wanted: &str| kinds.iter().position(|kind| *kind == wanted);
    assert!(first("case opened") < first("page sent"), "{kinds:?}");
    assert!(first("page sent") < first("acknowledged"), "{kinds:?}");
    assert!(first("acknowledged") < first("verify held"), "{kinds:?}");
}
