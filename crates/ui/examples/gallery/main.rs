//! Shows every page with made-up data: `cargo run -p bellwether-ui --example gallery` serves them on a free port of
//! loopback until it is stopped; the first line printed is the address.

#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

mod fixtures;
mod lab;
mod silences;

use std::io::{BufRead as _, BufReader, Result, Write as _};
use std::net::{TcpListener, TcpStream};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/", listener.local_addr()?);
    let mut pages = fixtures::all();
    let chrome = fixtures::chrome("Silences", bellwether_ui::Nav::Silences);
    pages.push(("silences", silences::page(&chrome)));
    let chrome = |title| fixtures::chrome(title, bellwether_ui::Nav::Lab);
    pages.push((
        "lab",
        bellwether_ui::render_lab(&chrome("Lab"), &lab::lab_page()),
    ));
    pages.push((
        "experiment",
        bellwether_ui::render_experiment(&chrome("Batch inserts"), &lab::experiment_page()),
    ));
    for (name, _) in &pages {
        println!("  /{name}");
    }
    for stream in listener.incoming() {
        // A broken connection is the browser's business; the next one counts.
        if let Ok(stream) = stream
            && let Err(error) = answer(&stream, &pages)
        {
            println!("connection ended: {error}");
        }
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, pages: &[(&str, String)]) -> Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut line)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = line.split(' ').nth(1).unwrap_or("/");
    let path = path.split('?').next().unwrap_or("/");
    let page = pages
        .iter()
        .find(|(name, _)| path.trim_start_matches('/') == *name || (path == "/" && *name == "now"));
    let (status, kind, body) = match (bellwether_ui::asset(path), page) {
        (Some(asset), _) => ("200 OK", asset.content_type, asset.bytes),
        (None, Some((_, html))) => ("200 OK", "text/html; charset=utf-8", html.as_bytes()),
        (None, None) => ("404 Not Found", "text/plain", "nothing here".as_bytes()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nContent-Security-Policy: {}\r\nConnection: close\r\n\r\n",
        body.len(),
        bellwether_ui::CONTENT_SECURITY_POLICY
    )?;
    stream.write_all(body)
}
