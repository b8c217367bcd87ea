//! A page to begin with, from the commands of an incident.

use crate::runbook::looks_interactive;

/// Most commands of a draft.
const COMMANDS_MAX: usize = 500;
/// First words of commands that only look.
const LOOKS: &[&str] = &[
    "cat",
    "curl",
    "date",
    "df",
    "dig",
    "dmesg",
    "du",
    "free",
    "grep",
    "head",
    "host",
    "iostat",
    "ip",
    "journalctl",
    "less",
    "ls",
    "lsof",
    "netstat",
    "nslookup",
    "ping",
    "ps",
    "ss",
    "stat",
    "tail",
    "top",
    "uptime",
    "vmstat",
    "who",
    "zcat",
    "zgrep",
];

/// Writes a page: commands that look are its diagnosis, the others its fix. Takes plain lines, `bash`'s history with
/// `#1700000000` lines of time, `zsh`'s `: 1700000000:0;…`, and numbered output of `history`.
pub fn draft(title: &str, commands: &str) -> String {
    let mut reads: Vec<&str> = Vec::new();
    let mut changes: Vec<&str> = Vec::new();
    let mut left_out = 0;
    for line in commands.lines() {
        let Some(command) = command_of(line) else {
            continue;
        };
        if reads.len() + changes.len() >= COMMANDS_MAX {
            left_out += 1;
            continue;
        }
        let list = if only_looks(command) {
            &mut reads
        } else {
            &mut changes
        };
        if list.last() != Some(&command) {
            list.push(command);
        }
    }
    let id = crate::runbook::slug(title);
    let mut page = format!(
        "---\nrunbook: {id}\nowner: \nalerts: []\nlimits: {{runs: 3/1h}}\n---\n\n# {title}\n"
    );
    page.push_str("\n## Diagnosis\n");
    for command in &reads {
        page.push_str(&format!(
            "\n```bash effect=read timeout=30s\n{command}\n```\n"
        ));
    }
    page.push_str("\n## Fix\n");
    for command in &changes {
        let by_hand = looks_interactive(command);
        let fence = if by_hand {
            "manual"
        } else {
            "bash effect=change timeout=1m"
        };
        page.push_str(&format!("\n```{fence}\n{command}\n```\n"));
    }
    page.push_str("\n## Verify\n\nWhich query says that it is well again?\n\n## Undo\n\nHow is it taken back?\n");
    if left_out > 0 {
        page.push_str(&format!("\n{left_out} further commands were left out.\n"));
    }
    page
}

fn command_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = match line.strip_prefix(": ") {
        Some(zsh) => zsh.split_once(';').map_or(line, |(_, command)| command),
        None => line,
    };
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    let line = if number > 0 && line[number..].starts_with("  ") {
        line[number..].trim_start()
    } else {
        line
    };
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let idle = matches!(
        line,
        "" | "clear" | "exit" | "history" | "pwd" | "fg" | "bg"
    );
    (!idle && !line.starts_with('#') && !line.contains("```")).then_some(line)
}

fn only_looks(command: &str) -> bool {
    let writes = command.contains('>')
        || command.contains("-X")
        || command.contains("xargs")
        || command.contains(';');
    let mut parts = command.split('|').map(|part| {
        let mut words = part.split_whitespace().skip_while(|word| *word == "sudo");
        let program = words.next().unwrap_or_default();
        let looks = match program {
            "systemctl" | "service" => part.contains("status") || part.contains("list-"),
            "kubectl" => crate::plan::kubectl_reads(part.trim_start_matches("sudo ").trim()),
            "awk" | "sort" | "uniq" | "wc" | "cut" | "jq" | "sed" | "tr" => !part.contains(" -i"),
            _ => LOOKS.contains(&program),
        };
        looks && program != "curl" || (program == "curl" && !part.contains("-d"))
    });
    !writes && parts.all(|looks| looks)
}

#[cfg(test)]
mod tests {
    use crate::lint::readiness;
    use crate::runbook::{Effect, Runbook, SectionKind};

    #[test]
    fn commands_become_a_page_that_reads() {
        let history = "#1700000000\n  101  df -h /var\n: 1700000001:0;journalctl -u web | tail -50\nsudo systemctl restart web\n\
                       sudo systemctl restart web\nclear\npsql prod\ncurl -X POST http://x/drain\n";
        let page = super::draft("Web is slow", history);
        let (page, problems) = Runbook::parse("web.md", &page);
        assert!(problems.0.is_empty(), "{problems}");
        let page = page.unwrap();
        let of = |kind| {
            page.steps_of(kind)
                .map(|step| step.body.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(SectionKind::Diagnosis),
            ["df -h /var", "journalctl -u web | tail -50"]
        );
        assert_eq!(
            of(SectionKind::Fix),
            [
                "sudo systemctl restart web",
                "psql prod",
                "curl -X POST http://x/drain"
            ]
        );
        assert!(
            page.steps_of(SectionKind::Diagnosis)
                .all(|step| step.effect == Some(Effect::Read))
        );
        assert_eq!(page.id, "web-is-slow");
        drop(readiness(&page));
    }
}
