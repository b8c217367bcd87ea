//! The door: the first administrator, signing in and out, a wrong password.

use std::process::Stdio;

use bellwether::browser::{Browser, Window};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{fits, play, text_of};

/// A fresh server, and the one-time link that it prints.
async fn fresh(data: &std::path::Path) -> (Child, String) {
    let config = data.join("bellwether.yml");
    std::fs::write(&config, "scrape_configs: []\n").unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(link) = line
            .split_whitespace()
            .find(|word| word.contains("/setup?"))
        {
            let link = link.to_owned();
            // What it prints later is read as well, so that it never waits for a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (server, link);
        }
    }
    panic!("the server printed no link");
}

async fn sign_in(browser: &Browser, name: &str, password: &str) {
    browser.wait_for("input[name=password]").await.unwrap();
    browser.type_into("input[name=name]", name).await.unwrap();
    browser
        .type_into("input[name=password]", password)
        .await
        .unwrap();
    browser.click("button.primary").await.unwrap();
}

#[test]
fn the_first_administrator_comes_goes_and_mistypes() {
    play(async {
        let data = tempfile::tempdir().unwrap();
        let (_server, link) = fresh(data.path()).await;
        let browser = Browser::start(Window::PHONE).await.unwrap();
        browser.open(&link).await.unwrap();
        browser.wait_for("input[name=password2]").await.unwrap();
        fits(&browser, "the set-up page").await;
        // Two different passwords set nothing.
        browser.type_into("input[name=name]", "ana").await.unwrap();
        browser
            .type_into("input[name=password]", "correct horse")
            .await
            .unwrap();
        browser
            .type_into("input[name=password2]", "correct house")
            .await
            .unwrap();
        browser.click("button.primary").await.unwrap();
        browser.wait_for(".notice.bad").await.unwrap();
        let said = browser.text(".notice.bad").await.unwrap().unwrap();
        assert!(said.contains("differ"), "{said}");
        browser
            .run("for (const field of document.querySelectorAll('input[name]:not([type=hidden])')) field.value = '';")
            .await
            .unwrap();
        browser
            .type_into("input[name=password2]", "correct horse")
            .await
            .unwrap();
        sign_in(&browser, "ana", "correct horse").await;
        browser.wait_for("p.me").await.unwrap();

        // Out, by the button under More.
        browser.click("details.more > summary").await.unwrap();
        browser
            .click(".foot.phone form[action='/logout'] button")
            .await
            .unwrap();
        // Reading needs no name on loopback: Now stays, without anybody signed in.
        browser
            .wait_until("return document.querySelector('p.me') === null && document.querySelector('a[href=\"/login\"]') !== null;")
            .await
            .unwrap();
        let base = link.split("/setup").next().unwrap();
        browser.open(&format!("{base}/login")).await.unwrap();
        browser
            .wait_for("body.bare input[name=password]")
            .await
            .unwrap();
        fits(&browser, "the sign-in page").await;

        // A wrong password and an unknown name are told alike; the link works once.
        sign_in(&browser, "ana", "wrong").await;
        browser.wait_for(".notice.bad").await.unwrap();
        let wrong = browser.text(".notice.bad").await.unwrap().unwrap();
        browser.open(&format!("{base}/login")).await.unwrap();
        sign_in(&browser, "nobody", "wrong").await;
        browser.wait_for(".notice.bad").await.unwrap();
        assert_eq!(browser.text(".notice.bad").await.unwrap().unwrap(), wrong);
        browser.open(&link).await.unwrap();
        browser.wait_for(".notice.bad").await.unwrap();

        sign_in(&browser, "ana", "correct horse").await;
        browser.wait_for("p.me").await.unwrap();
        let path = text_of(&browser, "return location.pathname;").await;
        assert_eq!(path, "/");
    });
}
