//! The scenario file.
//!
//! ```yaml
//! target: http://127.0.0.1:8080        # unless the command line names it
//! headers: {Accept: application/json}  # for every request
//! steps:                               # requests taken by weight
//!   - get: /
//!     weight: 8
//!     think: 500ms                     # only matters to the closed model's users
//! flows:                               # requests made one after another
//!   - name: buy
//!     weight: 2
//!     steps:
//!       - post: /cart
//!         json: {item: "${random:1..100}"}
//!         expect: 201
//!         think: 1s..3s
//!       - get: /cart
//! ```

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::{Problems, duration::parse_duration};
use bellwether_yaml::{MapReader, Node, Value};

use super::{ENDPOINTS_MAX, Endpoint, Expect, Flow, Scenario, Step, Template};

const VERBS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];
/// Steps of one flow.
const STEPS_MAX: usize = 200;
/// The longest pause.
const THINK_MAX: Duration = Duration::from_mins(10);

/// A scenario as its file says it.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    /// Address of the target, if the file names one.
    pub target: Option<String>,
    pub scenario: Scenario,
}

/// Reads a scenario. Every fault is told with its place; `None` when there is an error.
pub fn read_scenario(file: &Arc<str>, text: &str, problems: &mut Problems) -> Option<ScenarioFile> {
    let root = bellwether_yaml::parse(file, text, problems)?;
    let mut reading = Reading::default();
    let mut map = MapReader::new(&root, "scenario", problems);
    let target = map.text("target");
    reading.headers = headers(&mut map);
    for node in map.list("steps") {
        reading.weighted(node, map.problems());
    }
    for node in map.list("flows") {
        reading.flow(node, map.problems());
    }
    if reading.scenario.flows.is_empty() && !map.problems().has_errors() {
        let problem = root
            .error("this scenario has no requests")
            .with_hint("list them under steps: or flows:, such as `- get: /`");
        map.problems().push(problem);
    }
    map.finish();
    (!problems.has_errors()).then_some(ScenarioFile {
        target,
        scenario: reading.scenario,
    })
}

#[derive(Default)]
struct Reading {
    headers: Vec<(String, Template)>,
    scenario: Scenario,
}

impl Reading {
    /// A request that is a flow of its own.
    fn weighted(&mut self, node: &Node, problems: &mut Problems) {
        let mut map = MapReader::new(node, "step", problems);
        let weight = weight(&mut map);
        if let Some(step) = self.step(&mut map) {
            let group = self.scenario.endpoints[step.endpoint].group;
            let name = self.scenario.groups[group].clone();
            self.scenario.flows.push(Flow {
                name,
                weight,
                steps: vec![step],
            });
        }
        map.finish();
    }

    fn flow(&mut self, node: &Node, problems: &mut Problems) {
        let mut map = MapReader::new(node, "flow", problems);
        let weight = weight(&mut map);
        let name = map.required_text("name");
        let nodes = map.list("steps");
        if nodes.is_empty() || nodes.len() > STEPS_MAX {
            let problem = node.error(format!(
                "a flow has 1 to {STEPS_MAX} steps, not {}",
                nodes.len()
            ));
            map.problems().push(problem);
        }
        map.finish();
        let mut steps = Vec::new();
        for node in nodes.iter().take(STEPS_MAX) {
            let mut map = MapReader::new(node, "step", problems);
            steps.extend(self.step(&mut map));
            map.finish();
        }
        if let Some(name) = name {
            self.scenario.flows.push(Flow {
                name,
                weight,
                steps,
            });
        }
    }

    fn step(&mut self, map: &mut MapReader<'_, '_>) -> Option<Step> {
        let node = map.node();
        let (method, path) = request_line(map)?;
        let mut all = headers(map);
        let own: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in &self.headers {
            if !own.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                all.push((name.clone(), value.clone()));
            }
        }
        let mut body = map
            .take("body")
            .and_then(|node| template(node, "body", map.problems()));
        if let Some(json) = map.take("json") {
            if body.is_some() {
                let problem = json.error("a step has a body or json, not both");
                map.problems().push(problem);
            }
            body = parsed(json, &json.to_json().to_string(), map.problems());
            if !all
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            {
                all.push((
                    "Content-Type".to_owned(),
                    Template::plain("application/json"),
                ));
            }
        }
        let expect = expect(map);
        let think = map.take("think").map_or(Some(Default::default()), |node| {
            let text = node.as_text().unwrap_or_default();
            think(text)
                .map_err(|message| map.problems().push(node.error(message)))
                .ok()
        });
        let name = map
            .text("name")
            .unwrap_or_else(|| format!("{method} {}", path.as_text().unwrap_or_default()));
        let path = template(path, "path", map.problems())?;
        if !matches!(path.fixed().map(<[u8]>::first), None | Some(Some(b'/'))) {
            let problem = node
                .error("the path must begin with /")
                .with_hint("the target is named once, by target: or the command line");
            map.problems().push(problem);
        }
        let endpoint = Endpoint {
            group: self.scenario.group(&name),
            method,
            path,
            headers: all,
            body,
            expect,
        };
        let endpoints = &mut self.scenario.endpoints;
        if endpoints.len() >= ENDPOINTS_MAX {
            let problem = node.error(format!("more than {ENDPOINTS_MAX} requests"));
            map.problems().push(problem);
            return None;
        }
        let index = endpoints
            .iter()
            .position(|known| *known == endpoint)
            .unwrap_or(endpoints.len());
        if index == endpoints.len() {
            endpoints.push(endpoint);
        }
        Some(Step {
            endpoint: index,
            think: think?,
        })
    }
}

fn request_line<'n>(map: &mut MapReader<'n, '_>) -> Option<(http::Method, &'n Node)> {
    let mut found = None;
    for verb in VERBS {
        if let Some(path) = map.take(verb) {
            if found.is_some() {
                let problem = path.error("a step is one request");
                map.problems().push(problem);
            }
            let method = http::Method::from_bytes(verb.to_uppercase().as_bytes()).ok()?;
            found = Some((method, path));
        }
    }
    if found.is_some() {
        return found;
    }
    let method = map.take("method");
    let path = map.take("path");
    let node = map.node();
    let (Some(method), Some(path)) = (method, path) else {
        let problem = node
            .error("this step has no request")
            .with_hint("write it as `get: /path`, or with method: and path:");
        map.problems().push(problem);
        return None;
    };
    match http::Method::from_bytes(method.as_text().unwrap_or_default().as_bytes()) {
        Ok(parsed) => Some((parsed, path)),
        Err(_) => {
            map.problems().push(method.error("this is no HTTP method"));
            None
        }
    }
}

fn headers(map: &mut MapReader<'_, '_>) -> Vec<(String, Template)> {
    let Some(node) = map.take("headers") else {
        return Vec::new();
    };
    let pairs = map.reader().text_map(node, "headers");
    let mut all = Vec::new();
    for (name, value) in pairs {
        match header(&name, &value) {
            Ok(header) => all.push(header),
            Err(message) => map.problems().push(node.error(message)),
        }
    }
    all
}

/// A header as it may be sent. An error says what is wrong with it.
pub fn header(name: &str, value: &str) -> Result<(String, Template), String> {
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("{name:?} is no name of a header"));
    }
    if http::HeaderValue::from_str(value).is_err() {
        return Err(format!(
            "the value of header {name} has characters that no header may have"
        ));
    }
    for framing in ["content-length", "transfer-encoding", "connection"] {
        if name.eq_ignore_ascii_case(framing) {
            return Err(format!(
                "header {name} is set by the generator: how messages are delimited is not open to choice"
            ));
        }
    }
    Ok((name.to_owned(), Template::parse(value)?))
}

fn template(node: &Node, key: &str, problems: &mut Problems) -> Option<Template> {
    let Some(text) = node.as_text() else {
        problems.push(node.error(format!("{key} must be text, not {}", node.kind())));
        return None;
    };
    parsed(node, text, problems)
}

fn parsed(node: &Node, text: &str, problems: &mut Problems) -> Option<Template> {
    Template::parse(text)
        .map_err(|message| problems.push(node.error(message)))
        .ok()
}

fn weight(map: &mut MapReader<'_, '_>) -> f64 {
    let Some(weight) = map.number("weight") else {
        return 1.0;
    };
    if weight.is_finite() && weight > 0.0 {
        return weight;
    }
    let problem = map.node().error("the weight must be above 0");
    map.problems().push(problem);
    1.0
}

/// `500ms` or `1s..3s`.
fn think(text: &str) -> Result<(Duration, Duration), String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let one = |text: &str| {
        parse_duration(text.trim())
            .map_err(|error| format!("think: {error}: write 500ms or 1s..3s"))
    };
    let (low, high) = (one(low)?, one(high)?);
    if low > high || high > THINK_MAX {
        return Err("think: the range must go up, to 10m at most".to_owned());
    }
    Ok((low, high))
}

fn expect(map: &mut MapReader<'_, '_>) -> Expect {
    let Some(node) = map.take("expect") else {
        return Expect::Below400;
    };
    let nodes = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut ranges = Vec::new();
    for node in nodes {
        match node.as_text().and_then(statuses) {
            Some(range) => ranges.push(range),
            None => map.problems().push(
                node.error("this is no status")
                    .with_hint("write 200, 2xx, or a list of such"),
            ),
        }
    }
    Expect::OneOf(ranges)
}

/// `204` or `2xx`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let status = text.parse().ok().filter(|s| (100..=599).contains(s))?;
    Some((status, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ScenarioFile, String> {
        let mut problems = Problems::default();
        let file = read_scenario(&"s.yml".into(), text, &mut problems);
        file.ok_or_else(|| problems.to_string())
    }

    #[test]
    fn steps_and_flows_are_read() {
        let file = read(
            "target: http://127.0.0.1:8080\nheaders: {Accept: text/html}\nsteps:\n  - get: /\n    weight: 8\nflows:\n  - name: buy\n    weight: 2\n    steps:\n      - post: /cart\n        json: {item: \"${random:1..9}\"}\n        expect: [201, 3xx]\n        think: 1s..3s\n      - get: /\n",
        )
        .unwrap();
        let scenario = file.scenario;
        let shape: Vec<_> = scenario
            .flows
            .iter()
            .map(|flow| (flow.name.as_str(), flow.weight, flow.steps.len()))
            .collect();
        assert_eq!(shape, [("GET /", 8.0, 1), ("buy", 2.0, 2)]);
        // The same request in two places is counted together.
        assert_eq!(scenario.endpoints.len(), 2);
        let cart = &scenario.endpoints[1];
        assert!(cart.expect.accepts(302) && !cart.expect.accepts(200));
        assert_eq!(cart.headers.len(), 2);
        assert_eq!(
            scenario.flows[1].steps[0].think,
            (Duration::from_secs(1), Duration::from_secs(3))
        );
    }

    #[test]
    fn faults_have_their_places() {
        let faults = read(
            "steps:\n  - get: cart\n  - fetch: /\n  - get: /${x}\n    expect: fine\n    weight: 0\n  - get: /\n    think: 3s..1s\n    headers: {Content-Length: 5}\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(faults);
    }

    #[test]
    fn an_empty_one_is_refused() {
        insta::assert_snapshot!(read("target: http://localhost").unwrap_err());
    }
}
