//! Keys, the explorer's box, and pages without scripts.

use bellwether::browser::{Browser, ENTER, ESCAPE, TAB, Window};

use crate::support::{Stage, play, text_of};

#[test]
fn keys_lead_to_a_case_and_take_it_and_forms_need_no_script() {
    play(async {
        let stage = Stage::start().await;
        let case = stage.case("Orders stand still").await;
        let browser = stage.visitor(Window::DESKTOP).await;
        keys(&browser, &case).await;
        explore(&stage, &browser).await;
        many_tabs(&stage, &browser).await;
        without_scripts(&stage, &browser).await;
    });
}

async fn keys(browser: &Browser, case: &str) {
    browser.press("gc").await.unwrap();
    browser
        .wait_until("return location.pathname === '/cases' && document.readyState === 'complete';")
        .await
        .unwrap();
    // The list is ordered by urgency: go down until the row is ours.
    for _ in 0..5 {
        browser.press("j").await.unwrap();
        let row = text_of(
            browser,
            "return document.querySelector('tr.at')?.textContent || '';",
        )
        .await;
        if row.contains("Orders stand still") {
            break;
        }
    }
    browser.press("o").await.unwrap();
    browser
        .wait_until(&format!(
            "return location.pathname === '/cases/{case}' && document.querySelector('article.case') !== null && document.readyState === 'complete';"
        ))
        .await
        .unwrap();
    browser.press("a").await.unwrap();
    browser
        .wait_until(
            "return /acknowledged/i.test(document.querySelector('.case-head .over').textContent);",
        )
        .await
        .unwrap();
    browser.press("?").await.unwrap();
    browser.wait_for("dialog#help[open]").await.unwrap();
    let words = browser.text("dialog#help").await.unwrap().unwrap();
    assert!(words.contains("acknowledge the case"), "{words}");
    browser.press(&ESCAPE.to_string()).await.unwrap();
    browser
        .wait_until("return document.querySelector('dialog#help[open]') === null;")
        .await
        .unwrap();
}

/// More open pages than a browser has connections to one server: all are live, and the next one loads.
async fn many_tabs(stage: &Stage, browser: &Browser) {
    let open = format!(
        "const tabs = []; for (let i = 0; i < 8; i++) tabs.push(window.open({:?})); window.tabs = tabs;",
        stage.url("/cases")
    );
    browser.run(&open).await.unwrap();
    browser
        .wait_until("return tabs.every((tab) => tab.document.querySelector('p.live.on') !== null);")
        .await
        .unwrap();
    stage.case("Payments stand still").await;
    browser
        .wait_until("return tabs.every((tab) => /Payments stand still/.test(tab.document.body.textContent));")
        .await
        .unwrap();
    browser
        .run("for (const tab of tabs) tab.close();")
        .await
        .unwrap();
}

async fn explore(stage: &Stage, browser: &Browser) {
    const OFFERS: &str = "const named = (name, kind) => [...document.querySelectorAll('#complete li')].some((item) => item.dataset.name === name && item.dataset.kind === kind);";
    browser.open(&stage.url("/explore")).await.unwrap();
    browser.wait_for("#expr").await.unwrap();
    browser.type_into("#expr", "histogram_quant").await.unwrap();
    browser
        .wait_until(&format!(
            "{OFFERS} return named('histogram_quantile', 'function');"
        ))
        .await
        .unwrap();
    browser.press(&TAB.to_string()).await.unwrap();
    assert_eq!(expression(browser).await, "histogram_quantile(");
    browser
        .run("document.querySelector('#expr').value = '';")
        .await
        .unwrap();
    browser
        .type_into("#expr", "demo_http_requests_t")
        .await
        .unwrap();
    browser
        .wait_until(&format!(
            "{OFFERS} return named('demo_http_requests_total', 'metric');"
        ))
        .await
        .unwrap();
    browser.press(&ENTER.to_string()).await.unwrap();
    assert_eq!(expression(browser).await, "demo_http_requests_total");
    browser.click("form.query button.primary").await.unwrap();
    browser
        .wait_for("figure.chart svg path.line")
        .await
        .unwrap();
    browser.wait_for("table.values tr[data-row]").await.unwrap();
    browser
        .click("form.query label:has(input[value=table])")
        .await
        .unwrap();
    browser
        .wait_until("return document.querySelector('figure.chart') === null && document.querySelectorAll('table.values tr[data-row]').length >= 3;")
        .await
        .unwrap();
    // A fault is shown where it is.
    browser
        .open(&stage.url("/explore?expr=sum(up"))
        .await
        .unwrap();
    browser
        .wait_for(".notice.bad pre.fault mark")
        .await
        .unwrap();
}

async fn expression(browser: &Browser) -> String {
    text_of(browser, "return document.querySelector('#expr').value;").await
}

async fn without_scripts(stage: &Stage, browser: &Browser) {
    let case = stage.case("The shop is slow").await;
    browser.scripts(false).await.unwrap();
    browser
        .open(&stage.url(&format!("/cases/{case}")))
        .await
        .unwrap();
    browser.wait_for("article.case").await.unwrap();
    let scripted = browser
        .run("return document.documentElement.classList.contains('js');")
        .await
        .unwrap();
    assert_eq!(scripted, false, "the page's script must not run here");
    browser
        .click(".case-buttons button[data-key=a]")
        .await
        .unwrap();
    browser
        .wait_until(
            "return /acknowledged/i.test(document.querySelector('.case-head .over')?.textContent);",
        )
        .await
        .unwrap();
    let said = browser.text("p.notice.good").await.unwrap().unwrap();
    assert!(said.contains("It is yours"), "{said}");
    browser.scripts(true).await.unwrap();
}
