//! Files that a person names: a file, a folder, or a pattern with `*`, `?`, `[a-z]` and `**`.

use std::path::{Component, Path, PathBuf};

/// Files that one pattern or folder may give.
pub(crate) const FILES_MAX: usize = 10_000;
/// Folders below each other that are looked into.
const DEPTH_MAX: usize = 32;

/// Whether a name is a pattern.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Files and folders that a pattern names, sorted. Without wildcards: that path, if it exists.
pub(crate) fn find(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in base.join(pattern).components() {
        let name = match part {
            Component::Normal(name) => name.to_string_lossy().into_owned(),
            other => {
                for path in &mut found {
                    path.push(other);
                }
                continue;
            }
        };
        if name == "**" {
            let mut deeper = Vec::new();
            for path in &found {
                folders(path, DEPTH_MAX, &mut deeper);
            }
            found = deeper;
        } else if is_pattern(&name) {
            found = found
                .iter()
                .flat_map(|folder| entries(folder))
                .filter(|path| {
                    path.file_name()
                        .is_some_and(|entry| matches(&name, &entry.to_string_lossy()))
                })
                .take(FILES_MAX)
                .collect();
        } else {
            for path in &mut found {
                path.push(&name);
            }
            found.retain(|path| path.exists());
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The files that arguments of a command name: files as they are, folders with every rule file in them, patterns that
/// the shell left alone. An argument that names nothing is an error.
pub(crate) fn rule_files(arguments: &[PathBuf]) -> Result<Vec<Named>, String> {
    let mut files: Vec<Named> = Vec::new();
    for argument in arguments {
        let text = argument.to_string_lossy();
        let found = if argument.exists() || !is_pattern(&text) {
            vec![argument.clone()]
        } else {
            find(Path::new(""), &text)
        };
        if found.is_empty() {
            return Err(format!("no file matches {text}"));
        }
        for path in found {
            if path.is_dir() {
                let before = files.len();
                walk(&path, DEPTH_MAX, &mut files);
                if files.len() == before {
                    return Err(format!(
                        "no .yml, .yaml or .rules file in {}",
                        path.display()
                    ));
                }
            } else {
                files.push(Named {
                    path,
                    directly: true,
                });
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.path.clone()));
    Ok(files)
}

/// A file of an argument.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) path: PathBuf,
    /// Named itself, not found in a folder.
    pub(crate) directly: bool,
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let here = Path::new(".");
    let folder_or_here = if folder.as_os_str().is_empty() {
        here
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(folder_or_here) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| folder.join(entry.file_name()))
        .collect();
    paths.sort();
    paths
}

fn folders(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    found.push(folder.to_owned());
    if depth == 0 || found.len() > FILES_MAX {
        return;
    }
    for path in entries(folder) {
        if path.is_dir() && !path.is_symlink() {
            folders(&path, depth - 1, found);
        }
    }
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<Named>) {
    for path in entries(folder) {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || files.len() > FILES_MAX {
            continue;
        }
        if path.is_dir() {
            if depth > 0 && !path.is_symlink() {
                walk(&path, depth - 1, files);
            }
        } else if path
            .extension()
            .is_some_and(|ext| ext == "yml" || ext == "yaml" || ext == "rules")
        {
            files.push(Named {
                path,
                directly: false,
            });
        }
    }
}

/// `*` matches any text, `?` one character, `[a-z]` or `[^a-z]` one of a set, `\` takes the next one literally.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Places in the text that the pattern so far can end at.
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at] == '*' {
            let first = reachable.iter().position(|r| *r).unwrap_or(reachable.len());
            reachable.iter_mut().skip(first).for_each(|r| *r = true);
            at += 1;
            continue;
        }
        let (takes, next) = one(&pattern, at);
        for i in (0..text.len()).rev() {
            reachable[i + 1] = reachable[i] && takes(text[i]);
        }
        reachable[0] = false;
        at = next;
    }
    reachable[text.len()]
}

/// What the pattern's element at `at` takes, and where the next one begins.
fn one(pattern: &[char], at: usize) -> (Box<dyn Fn(char) -> bool + '_>, usize) {
    match pattern[at] {
        '?' => (Box::new(|_| true), at + 1),
        '\\' if at + 1 < pattern.len() => {
            let literal = pattern[at + 1];
            (Box::new(move |c| c == literal), at + 2)
        }
        '[' => {
            let negated = matches!(pattern.get(at + 1), Some('^' | '!'));
            let start = at + 1 + usize::from(negated);
            let Some(length) = pattern
                .iter()
                .skip(start + 1)
                .position(|c| *c == ']')
                .map(|n| n + 1)
            else {
                return (Box::new(|c| c == '['), at + 1);
            };
            let set = &pattern[start..start + length];
            let takes = move |c: char| {
                let mut i = 0;
                let mut inside = false;
                while i < set.len() {
                    if i + 2 < set.len() && set[i + 1] == '-' {
                        inside |= (set[i]..=set[i + 2]).contains(&c);
                        i += 3;
                    } else {
                        inside |= set[i] == c;
                        i += 1;
                    }
                }
                inside != negated
            };
            (Box::new(takes), start + length + 1)
        }
        literal => (Box::new(move |c| c == literal), at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::{find, matches, rule_files};

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[x", "[x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn wildcards_in_every_part() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a/one.yml", "b/two.yml", "b/c/three.yml", "b/x.txt"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            find(root.path(), pattern)
                .iter()
                .map(|p| p.strip_prefix(root.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(names("*/*.yml"), ["a/one.yml", "b/two.yml"]);
        assert_eq!(
            names("**/*.yml"),
            ["a/one.yml", "b/c/three.yml", "b/two.yml"]
        );
        assert_eq!(names("b/x.txt"), ["b/x.txt"]);
        assert_eq!(names("nothing.yml"), [""; 0]);
        let all = rule_files(&[root.path().to_owned(), root.path().join("a/one.yml")]).unwrap();
        assert_eq!(all.len(), 3);
        assert!(rule_files(&[root.path().join("*.nothing")]).is_err());
    }
}
