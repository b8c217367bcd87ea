use super::*;

#[test]
fn a_page_is_framed_and_cannot_steer_the_terminal() {
    let message = Message {
        title: "Disk full \u{1b}[2J on db-1".to_owned(),
        text: format!("Free: 0 %\r\n{}", "word ".repeat(30)),
        priority: Priority::High,
        link: Some("http://127.0.0.1:9876/cases/1".to_owned()),
        ..Message::default()
    };
    let text = frame(&message);
    assert!(!text.contains('\u{1b}') && !text.contains('\r'));
    assert!(text.contains("│ Disk full  [2J on db-1\n"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= WIDTH + 2),
        "{text}"
    );
    let long = Message {
        text: "x\n".repeat(1000),
        ..Message::default()
    };
    assert!(frame(&long).lines().count() < MAX_LINES + 10);
}
