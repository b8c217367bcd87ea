//! At three in the morning: take a case, hand the pager over by dragging, see what a silence hides before it is saved;
//! on a desktop and on a phone.

use bellwether::browser::{Browser, Window};
use serde_json::Value;

use crate::support::{Stage, fits, play, text_of};

const ONCALL: &str = "
oncall:
  diagnosis_wait: 0s
  people:
    you: {name: You}
    bo: {name: Bo}
  schedules:
    primary:
      timezone: Europe/Berlin
      layers:
        - {name: week, members: [bo, you], start: 2026-01-05T09:00, turn: 1w}
        - {name: days, priority: 1, members: [you, EMPTY], start: 2026-01-05T09:00, turn: 1d}
";

#[test]
fn a_case_is_taken_a_shift_dragged_and_a_silence_looked_at_first() {
    play(async {
        let stage = Stage::with(ONCALL).await;
        for window in [Window::DESKTOP, Window::PHONE] {
            let title = format!("Orders stand still {}", window.name());
            let case = stage.case(&title).await;
            let browser = stage.visitor(window).await;
            take(&stage, &browser, &case).await;
            hand_over(&stage, &browser, window).await;
            silence(&stage, &browser).await;
        }
    });
}

async fn take(stage: &Stage, browser: &Browser, case: &str) {
    browser
        .open(&stage.url(&format!("/cases/{case}")))
        .await
        .unwrap();
    browser
        .wait_for("form[action$='/ack'] button")
        .await
        .unwrap();
    browser.click("form[action$='/ack'] button").await.unwrap();
    browser
        .wait_until("return /acknowledged/i.test(document.querySelector('.case-head .over')?.textContent || '');")
        .await
        .unwrap();
}

/// Drags along the lane of the first person, from a fifth to three fifths of its length.
const DRAG: &str = "
    const lanes = document.querySelector('svg.lanes[data-from]');
    lanes.scrollIntoView({block: 'center'});
    const area = lanes.getBoundingClientRect();
    const fire = (kind, ratio) => lanes.dispatchEvent(new PointerEvent(kind, {
        bubbles: true, clientX: area.left + ratio * area.width, clientY: area.top + 10, button: 0, pointerType: 'touch',
    }));
    fire('pointerdown', 0.2); fire('pointermove', 0.4); fire('pointermove', 0.6); fire('pointerup', 0.6);
    const form = document.querySelector('#override form').elements;
    return [form.schedule.value, form.person.value, form.from.value, form.to.value, lanes.dataset.people.split('\\n')[0]];";

async fn hand_over(stage: &Stage, browser: &Browser, window: Window) {
    browser.open(&stage.url("/oncall")).await.unwrap();
    browser.wait_for("svg.lanes[data-from]").await.unwrap();
    fits(browser, "/oncall").await;
    let filled = browser.run(DRAG).await.unwrap();
    let text = |index: usize| filled[index].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (text(0), text(1)),
        ("primary".to_owned(), text(4)),
        "{}",
        window.name()
    );
    let (from, to) = (text(2), text(3));
    assert!(from.len() == 16 && from < to, "{filled}");
    assert!(from.ends_with(":00") || from.ends_with(":30"), "{filled}");
    browser.click("#override button.primary").await.unwrap();
    browser
        .wait_until("return document.querySelector('rect.shift.override') !== null;")
        .await
        .unwrap();
    let overrides = browser
        .run("return document.querySelectorAll('rect.shift.override').length;")
        .await
        .unwrap();
    assert!(overrides.as_u64().unwrap() >= 1, "{overrides}");
}

async fn silence(stage: &Stage, browser: &Browser) {
    browser.open(&stage.url("/silences")).await.unwrap();
    browser
        .wait_for("#silence input[name=matchers]")
        .await
        .unwrap();
    fits(browser, "/silences").await;
    let before = silences(stage).await;
    browser
        .type_into("#silence input[name=matchers]", "service=")
        .await
        .unwrap();
    browser.click("#silence button.primary").await.unwrap();
    browser.wait_for("#silence .bad-text").await.unwrap();
    let clear = "document.querySelector('#silence input[name=matchers]').value = ''; return 1;";
    browser.run(clear).await.unwrap();
    browser
        .type_into("#silence input[name=matchers]", "service=\"web\"")
        .await
        .unwrap();
    browser
        .click("#silence form[method=get] button.primary")
        .await
        .unwrap();
    browser.wait_for("#preview").await.unwrap();
    let shown = text_of(
        browser,
        "return document.querySelector('#preview h3').textContent;",
    )
    .await;
    assert!(shown.starts_with("It hides"), "{shown}");
    // Looking has made nothing.
    assert_eq!(silences(stage).await, before);
    browser.click("#preview button.primary").await.unwrap();
    browser.wait_for(".silences form button").await.unwrap();
    assert_eq!(silences(stage).await, before + 1);
    browser.click(".silences form button").await.unwrap();
    browser
        .wait_until("return document.querySelector('.silences form button') === null;")
        .await
        .unwrap();
}

async fn silences(stage: &Stage) -> usize {
    let all: Value = stage.server.client.get("/silences").await.unwrap();
    all.as_array().map_or(0, Vec::len)
}
