//! What holds for every page, in both sizes and both colour schemes: it loads without a complaint, asks no other
//! machine, is light, fits the window, has one heading, names its fields, and can be read.

use bellwether::browser::{Browser, TAB, Window};
use serde_json::{Value, json};

use crate::support::{Stage, fits, play, text_of};

/// Bytes that a page may take over the wire with all that it needs.
const WEIGHT_MAX: u64 = 200 << 10;

#[test]
fn every_page_is_light_legible_and_asks_nobody_else() {
    play(async {
        let stage = Stage::start().await;
        let case = stage.case("Orders stand still").await;
        let windows = [
            Window::DESKTOP,
            Window::DESKTOP.dark(),
            Window::PHONE,
            Window::PHONE.dark(),
        ];
        let mut faults = Vec::new();
        for window in windows {
            let browser = stage.visitor(window).await;
            for path in paths(&browser, &case).await {
                look(
                    &stage,
                    &browser,
                    &format!("{} {path}", window.name()),
                    &path,
                    &mut faults,
                )
                .await;
            }
            focus(&stage, &browser, window, &mut faults).await;
        }
        assert!(
            faults.is_empty(),
            "{} faults:\n{}",
            faults.len(),
            faults.join("\n")
        );
    });
}

/// All entries of the menu, and the pages behind them.
async fn paths(browser: &Browser, case: &str) -> Vec<String> {
    let found = browser
        .run("return [...document.querySelectorAll('#menu ul.side a')].map((link) => link.getAttribute('href'));")
        .await
        .unwrap();
    let mut paths: Vec<String> = found
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|path| path.as_str().map(str::to_owned))
        .collect();
    assert!(paths.len() >= 9, "{paths:?}");
    paths.push(format!("/cases/{case}"));
    paths.extend(
        [
            "/help",
            "/runbooks/web-slow-replica",
            "/cases?show=all",
            "/explore?expr=rate(demo_http_requests_total%5B10s%5D)&range=5m",
            "/nowhere",
        ]
        .map(str::to_owned),
    );
    paths
}

async fn look(stage: &Stage, browser: &Browser, name: &str, path: &str, faults: &mut Vec<String>) {
    drop(browser.console().await.unwrap());
    browser.open(&stage.url(path)).await.unwrap();
    browser.wait_for("body.signed main").await.unwrap();
    browser
        .wait_until("return document.readyState === 'complete';")
        .await
        .unwrap();
    let loaded = browser.run(LOADED).await.unwrap();
    let bytes = loaded["bytes"].as_u64().unwrap_or(u64::MAX);
    if bytes > WEIGHT_MAX {
        faults.push(format!("{name}: {bytes} bytes"));
    }
    if loaded["foreign"] != json!([]) {
        faults.push(format!("{name}: asks {}", loaded["foreign"]));
    }
    fits(browser, name).await;
    let basics: Value = browser.run(BASICS).await.unwrap();
    for fault in basics.as_array().unwrap() {
        faults.push(format!("{name}: {}", fault.as_str().unwrap_or_default()));
    }
    for (level, text) in browser.console().await.unwrap() {
        // The address that is not there says so itself.
        if level == "SEVERE" && path != "/nowhere" {
            faults.push(format!("{name}: console: {text}"));
        }
    }
}

/// What was loaded, and from where.
const LOADED: &str = "
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return {
        bytes: all.reduce((sum, entry) => sum + (entry.encodedBodySize || 0), 0),
        foreign: all.map((entry) => entry.name).filter((url) => new URL(url).origin !== location.origin && !url.startsWith('data:')),
    };";

/// Headings, names of fields and buttons, texts of images, identities, and contrast (WCAG 2.2, 1.4.3).
const BASICS: &str = r#"
    const faults = [];
    const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getClientRects().length > 0;
    const brief = (e) => e.outerHTML.replace(/\s+/g, ' ').slice(0, 110);
    const all = (css) => [...document.querySelectorAll(css)];
    if (all('h1').length !== 1) faults.push(`${all('h1').length} first headings`);
    for (const field of all('input:not([type=hidden]), select, textarea')) {
        const named = [...(field.labels || [])].some((label) => label.textContent.trim()) || field.getAttribute('aria-label');
        if (!named) faults.push(`no label: ${brief(field)}`);
    }
    for (const e of all('button, a[href], summary')) {
        if (seen(e) && !e.textContent.trim() && !e.getAttribute('aria-label')) faults.push(`no name: ${brief(e)}`);
    }
    for (const image of all('img:not([alt])')) faults.push(`no text: ${brief(image)}`);
    for (const image of all('svg')) {
        const framed = image.closest('[aria-hidden=true], [aria-label], [role=img], figure');
        if (!framed) faults.push(`a picture without a name: ${brief(image)}`);
    }
    const ids = all('[id]').map((e) => e.id);
    for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`twice: #${id}`);
    const paper = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const known = new Map();
    const rgba = (colour) => {
        if (!known.has(colour)) known.set(colour, painted(colour));
        return known.get(colour);
    };
    const painted = (colour) => {
        paper.clearRect(0, 0, 1, 1);
        paper.fillStyle = colour;
        paper.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = paper.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
    const ground = (e) => {
        const layers = [];
        for (let at = e; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] > 0) layers.push(colour);
            if (colour[3] === 1) break;
        }
        return layers.reduceRight((under, top) => over(top, under), [255, 255, 255, 1]);
    };
    const light = ([r, g, b]) => {
        const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const said = new Set();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const e = texts.currentNode.parentElement;
        if (!texts.currentNode.nodeValue.trim() || e.closest('svg, script, style, [disabled], option') || !seen(e)) continue;
        const style = getComputedStyle(e);
        const back = ground(e);
        const front = over(rgba(style.color), back);
        const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const key = `${style.color} on ${back}`;
        if (ratio < (large ? 3 : 4.5) && !said.has(key)) {
            said.add(key);
            faults.push(`contrast ${ratio.toFixed(2)}: ${brief(e)}`);
        }
    }
    return faults;"#;

/// Wherever Tab leads, one sees it.
async fn focus(stage: &Stage, browser: &Browser, window: Window, faults: &mut Vec<String>) {
    browser.open(&stage.url("/explore")).await.unwrap();
    browser.wait_for("#expr").await.unwrap();
    for _ in 0..12 {
        browser.press(&TAB.to_string()).await.unwrap();
        let hidden = text_of(
            browser,
            "const e = document.activeElement;
             if (e === document.body) return '';
             const style = getComputedStyle(e);
             const ring = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
             const near = e.type === 'radio' && e.nextElementSibling ? getComputedStyle(e.nextElementSibling) : null;
             const beside = near && ((near.outlineStyle !== 'none' && parseFloat(near.outlineWidth) > 0) || near.boxShadow !== 'none');
             return ring || beside ? '' : e.outerHTML.slice(0, 120);",
        )
        .await;
        if !hidden.is_empty() {
            faults.push(format!("{}: focus cannot be seen: {hidden}", window.name()));
        }
    }
}
