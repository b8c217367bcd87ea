//! Reading command lines: prompts, placeholders, commands that need a terminal.

use std::sync::LazyLock;

use regex::Regex;

/// Programs that inline code or a block without a language is recognised by, sorted.
pub(super) const COMMANDS: &[&str] = &[
    "ansible",
    "apachectl",
    "apt",
    "apt-get",
    "argocd",
    "awk",
    "aws",
    "az",
    "bash",
    "blkid",
    "borg",
    "brew",
    "bundle",
    "cat",
    "cd",
    "certbot",
    "chef-client",
    "chmod",
    "chown",
    "chronyc",
    "consul",
    "cp",
    "cqlsh",
    "createdb",
    "crictl",
    "crontab",
    "curl",
    "date",
    "dd",
    "df",
    "dig",
    "dmesg",
    "docker",
    "docker-compose",
    "doctl",
    "dpkg",
    "dropdb",
    "du",
    "echo",
    "etcdctl",
    "ethtool",
    "export",
    "find",
    "flux",
    "for",
    "free",
    "fuser",
    "gcloud",
    "gem",
    "getent",
    "git",
    "gitlab-ctl",
    "gitlab-psql",
    "gitlab-rails",
    "gitlab-rake",
    "go",
    "grep",
    "gsutil",
    "haproxy",
    "head",
    "helm",
    "host",
    "hostnamectl",
    "htop",
    "http",
    "ifconfig",
    "iftop",
    "initctl",
    "iostat",
    "iotop",
    "ip",
    "iptables",
    "istioctl",
    "journalctl",
    "jq",
    "kafka-consumer-groups",
    "kafka-topics",
    "kill",
    "killall",
    "knife",
    "kubectl",
    "kubectx",
    "last",
    "less",
    "ln",
    "loginctl",
    "ls",
    "lsblk",
    "lsof",
    "lvs",
    "make",
    "mdadm",
    "mkdir",
    "mongo",
    "mongosh",
    "mount",
    "mtr",
    "mv",
    "mysql",
    "mysqldump",
    "nc",
    "nerdctl",
    "netstat",
    "nft",
    "nginx",
    "nmap",
    "nodetool",
    "nomad",
    "nslookup",
    "ntpq",
    "openssl",
    "packer",
    "patronictl",
    "perf",
    "perl",
    "pg_basebackup",
    "pg_ctl",
    "pg_dump",
    "pg_restore",
    "pgrep",
    "pidstat",
    "ping",
    "pip",
    "pkill",
    "podman",
    "promtool",
    "ps",
    "psql",
    "puppet",
    "python",
    "python3",
    "rabbitmqctl",
    "rails",
    "rake",
    "rclone",
    "redis-cli",
    "restic",
    "rm",
    "rsync",
    "ruby",
    "sar",
    "scp",
    "screen",
    "sed",
    "semodule",
    "service",
    "sh",
    "shutdown",
    "smartctl",
    "socat",
    "sort",
    "sqlite3",
    "ss",
    "ssh",
    "ssh-copy-id",
    "ssh-keygen",
    "ssh-keyscan",
    "strace",
    "su",
    "sudo",
    "supervisorctl",
    "sv",
    "swapoff",
    "swapon",
    "sync",
    "sysctl",
    "systemctl",
    "tail",
    "tar",
    "tc",
    "tcpdump",
    "tee",
    "telnet",
    "terraform",
    "test",
    "timedatectl",
    "tmux",
    "top",
    "touch",
    "traceroute",
    "ufw",
    "umount",
    "unzip",
    "uptime",
    "vault",
    "velero",
    "vgs",
    "vi",
    "vim",
    "vmstat",
    "watch",
    "wget",
    "while",
    "xargs",
    "yum",
    "zcat",
    "zgrep",
    "zpool",
];

/// Programs that take over the terminal whatever their arguments are.
const INTERACTIVE: &[&str] = &[
    "emacs", "gitk", "htop", "iftop", "iotop", "irb", "less", "more", "nano", "screen", "telnet",
    "tmux", "top", "vi", "view", "vim", "visudo", "vipw",
];

/// Environment variables that need no declaration.
const KNOWN_VARIABLES: &[&str] = &[
    "BASH",
    "EDITOR",
    "EUID",
    "HOME",
    "HOSTNAME",
    "IFS",
    "LANG",
    "LINENO",
    "LOGNAME",
    "OLDPWD",
    "OPTARG",
    "OPTIND",
    "PATH",
    "PIPESTATUS",
    "PPID",
    "PWD",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "SHELL",
    "TERM",
    "TMPDIR",
    "UID",
    "USER",
];

static ANGLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"<([A-Za-z](?:[A-Za-z0-9_./ :-]{0,58}[A-Za-z0-9_.])?)>").expect("a fixed pattern")
});
static CROSSES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:XXX+|xxxx+|YYY+)\b").expect("a fixed pattern"));
static YOUR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\byour[-_][a-z0-9_-]+").expect("a fixed pattern"));
static BRACED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}").expect("a fixed pattern")
});
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{?([A-Z_][A-Z0-9_]*)\b").expect("a fixed pattern"));
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)(?:^|[;&|(\s])(?:export\s+|local\s+|readonly\s+)?([A-Za-z_][A-Za-z0-9_]*)\+?=|\b(?:for|read(?:\s+-[a-z]+)*)\s+([A-Za-z_][A-Za-z0-9_]*)")
        .expect("a fixed pattern")
});
static PROMPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[?[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+[^$#>]{0,80}[$#>]|\$>|[$%#>])(?:\s+|$)")
        .expect("a fixed pattern")
});
static DOLLAR_PROMPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[?[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+[^$#>]{0,80}[$#]|\$>?)\s+")
        .expect("a fixed pattern")
});
static TERMINAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        \b(?:docker|kubectl|podman|crictl|nerdctl)\b.*\s(?:-it|-ti|-i\s+-t|--interactive|--tty)\b
        | \b(?:rails|gitlab-rails)\s+(?:c|console|db|dbconsole)\b
        | \b(?:kubectl|knife|chef)\s+(?:edit|.*\bedit)\b
        | \bcrontab\s+-e\b | \bgit\s+rebase\s+-i\b
        | \b(?:sudo\s+-i|sudo\s+su|su\s+-)(?:\s+[a-z0-9_-]+)?\s*$
        | ^\s*(?:sudo\s+)?(?:bash|sh|zsh|python3?|irb|mysql|psql|gitlab-psql|mongo|redis-cli)\s*$",
    )
    .expect("a fixed pattern")
});
static DATABASE_SHELL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:sudo\s+(?:-\w+\s+\w+\s+)?)?(?:/\S*/)?(?:psql|mysql|gitlab-psql|mongo|redis-cli)\b(.*)$")
        .expect("a fixed pattern")
});

/// Names used as `{{name}}`, in order, each once.
pub(crate) fn braced_names(text: &str) -> Vec<String> {
    unique(BRACED.captures_iter(text).map(|found| found[1].to_owned()))
}

/// What the commands and the expected output of a session are; `None` when no line has a prompt. `#` counts as a
/// prompt only where root's prompt is plausible: in a console block without `$`.
pub(super) fn split_session(body: &str, console: bool) -> Option<(String, String)> {
    let dollars = body
        .lines()
        .any(|line| DOLLAR_PROMPT.is_match(line.trim_start()));
    let prompts = || body.lines().any(|line| PROMPT.is_match(line.trim_start()));
    let is_session = dollars || (console && prompts());
    if !is_session {
        return None;
    }
    let (mut commands, mut expected) = (String::new(), String::new());
    let mut continued = false;
    for line in body.lines() {
        let trimmed = line.trim_start();
        let prompt = if dollars {
            DOLLAR_PROMPT.find(trimmed)
        } else {
            PROMPT.find(trimmed)
        };
        let comment = dollars && trimmed.starts_with('#');
        if let Some(prompt) = prompt {
            push_line(&mut commands, &trimmed[prompt.end()..]);
        } else if continued {
            // PS2 prompts belong to the shell, not to the command.
            push_line(&mut commands, trimmed.strip_prefix("> ").unwrap_or(line));
        } else if comment {
            push_line(&mut commands, trimmed);
            continue;
        } else {
            push_line(&mut expected, line);
            continue;
        }
        continued = trimmed.trim_end().ends_with('\\');
    }
    Some((commands, expected.trim_end().to_owned()))
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// Whether a block without a language begins like a command.
pub(super) fn looks_like_commands(body: &str) -> bool {
    body.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .is_some_and(|line| DOLLAR_PROMPT.is_match(line) || is_command(line, false))
}

/// Whether inline code is something to type: a known program with arguments.
pub(super) fn looks_like_inline_command(code: &str) -> bool {
    let code = code.trim();
    !code.contains('\n') && (code.starts_with("$ ") || is_command(code, true))
}

fn is_command(line: &str, with_arguments: bool) -> bool {
    let mut words = line.split_whitespace().peekable();
    let mut prefixed = false;
    while let Some(word) = words.peek() {
        let assignment = word
            .split_once('=')
            .is_some_and(|(name, _)| is_variable_name(name));
        if !assignment && !matches!(*word, "sudo" | "time" | "nohup" | "env") {
            break;
        }
        prefixed |= *word == "sudo";
        words.next();
    }
    let Some(program) = words.next() else {
        return false;
    };
    let has_arguments = words.next().is_some();
    let path = program.starts_with("./") || (program.starts_with('/') && program.len() > 1);
    let name = program.rsplit('/').next().unwrap_or(program);
    let known = COMMANDS.binary_search(&name).is_ok();
    // A path alone is a file that is talked about; with arguments it is a command.
    (known || (path && (prefixed || has_arguments)))
        && (has_arguments || prefixed || !with_arguments)
}

fn is_variable_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}

/// Whether commands need a terminal and a person.
pub(crate) fn is_interactive(body: &str) -> bool {
    let heredoc = body.contains("<<");
    body.lines().any(|line| {
        let line = line.trim();
        if line.starts_with('#') || line.is_empty() {
            return false;
        }
        let first = line
            .split_whitespace()
            .find(|word| !word.contains('=') && *word != "sudo")
            .unwrap_or_default();
        let name = first.rsplit('/').next().unwrap_or(first);
        if INTERACTIVE.contains(&name) {
            let batch = name == "top" && line.contains("-b");
            return !batch && !line.contains('|');
        }
        if TERMINAL.is_match(line) {
            return true;
        }
        DATABASE_SHELL.captures(line).is_some_and(|found| {
            let arguments = &found[1];
            let given = [
                "-c",
                "-e",
                "-f",
                "--command",
                "--execute",
                "--eval",
                "--file",
                "<",
                "|",
                "-l",
            ];
            // redis-cli takes its command as plain words.
            let redis = line.contains("redis-cli")
                && arguments
                    .split_whitespace()
                    .any(|word| word.bytes().all(|b| b.is_ascii_alphabetic()) && word.len() > 2);
            !redis
                && !heredoc
                && !given.iter().any(|flag| arguments.contains(flag))
                && !line.contains("| ")
        })
    })
}

/// Undeclared inputs of a body: `<name>`, `XXX`, `your_…`, `{{name}}` and, in a shell, `$NAME` that is nowhere set.
pub(super) fn placeholders(body: &str, is_shell: bool, declared: &[&str]) -> Vec<String> {
    let has = |name: &str| {
        declared
            .iter()
            .any(|known| *known == name || variable_of(known) == name)
    };
    let angles = ANGLE.captures_iter(body).filter_map(|found| {
        let name = &found[1];
        // `a <b and c> d` in a query compares; and HTML tags are output, not inputs.
        let plain = is_shell || !name.contains(' ');
        let html = matches!(name, "br" | "b" | "i" | "p" | "html" | "none" | "nil");
        (plain && !html).then(|| found[0].to_owned())
    });
    let mut found: Vec<String> = angles.collect();
    found.extend(
        CROSSES
            .find_iter(body)
            .map(|found| found.as_str().to_owned()),
    );
    found.extend(YOUR.find_iter(body).map(|found| found.as_str().to_owned()));
    found.extend(
        braced_names(body)
            .into_iter()
            .filter(|name| !has(name))
            .map(|name| format!("{{{{{name}}}}}")),
    );
    if is_shell {
        let assigned: Vec<&str> = ASSIGNED
            .captures_iter(body)
            .filter_map(|found| found.get(1).or(found.get(2)))
            .map(|name| name.as_str())
            .collect();
        found.extend(
            VARIABLE
                .captures_iter(body)
                .map(|found| found[1].to_owned())
                .filter(|name| {
                    !assigned.contains(&name.as_str())
                        && !KNOWN_VARIABLES.contains(&name.as_str())
                        && !has(name)
                })
                .map(|name| format!("${name}")),
        );
    }
    unique(found.into_iter())
}

/// Environment variable that carries an input: its name in upper case.
pub(crate) fn variable_of(input: &str) -> String {
    input
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// Whether an input of this name would replace a variable that shells or the loader obey.
pub(super) fn is_reserved(variable: &str) -> bool {
    KNOWN_VARIABLES.contains(&variable)
        || [
            "ENV",
            "PS4",
            "PERL5OPT",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "PROMPT_COMMAND",
            "SHELLOPTS",
        ]
        .contains(&variable)
        || ["LD_", "BASH", "DYLD_", "GIT_", "CAPTURE_"]
            .iter()
            .any(|prefix| variable.starts_with(prefix))
}

/// An HTTP step, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Reads `METHOD url`, header lines, an empty line and a body. A URL alone is a GET.
pub(crate) fn parse_http(text: &str) -> Result<HttpRequest, String> {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    let first = lines.next().unwrap_or_default().trim();
    let mut words = first.split_whitespace();
    let (method, url) = match (words.next(), words.next()) {
        (Some(method), Some(url)) if method.bytes().all(|b| b.is_ascii_uppercase()) => {
            (method, url)
        }
        (Some(url), None) if url.contains("://") || url.starts_with("{{") => ("GET", url),
        _ => {
            return Err(
                "an http step begins with a line such as `GET http://host/path`".to_owned(),
            );
        }
    };
    if !matches!(
        method,
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS"
    ) {
        return Err(format!("unknown HTTP method {method:?}"));
    }
    if words.any(|word| !word.starts_with("HTTP/")) {
        return Err("a space in the URL".to_owned());
    }
    let mut headers = Vec::new();
    for line in lines.by_ref() {
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("not a header line: {line:?}"))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let body: Vec<&str> = lines.collect();
    Ok(HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers,
        body: body.join("\n").trim_end().to_owned(),
    })
}

fn unique(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for item in items {
        if !out.contains(&item) {
            out.push(item);
        }
        if out.len() >= 64 {
            break;
        }
    }
    out
}
