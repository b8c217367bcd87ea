use bellwether_model::series::{MemorySeries, Value};

use super::*;

#[test]
fn two_sources_answer_as_one_and_the_first_wins() {
    let name = |name: &str| Labels::new([("__name__", name)]);
    let (mut first, mut second) = (MemorySeries::default(), MemorySeries::default());
    first.push(&name("b"), 20, Value::Float(2.0));
    second.push(&name("b"), 10, Value::Float(1.0));
    second.push(&name("b"), 20, Value::Float(9.0));
    second.push(&name("a"), 20, Value::Float(4.0));
    let merged = MergedSource::new(vec![Arc::new(first), Arc::new(second)]);
    let selection = Selection {
        matchers: Vec::new(),
        min: 0,
        max: 100,
    };
    let set = merged.select(&selection).unwrap();
    let mut buffer = SampleBuffer::default();
    let mut read = Vec::new();
    for index in 0..set.len() {
        set.read(index, &mut buffer).unwrap();
        let samples = (buffer.timestamps.clone(), buffer.floats.clone());
        read.push((set.labels(index).metric_name().to_owned(), samples));
    }
    let expected = [
        ("a".to_owned(), (vec![20], vec![4.0])),
        ("b".to_owned(), (vec![10, 20], vec![1.0, 2.0])),
    ];
    assert_eq!(read, expected);
    let values = merged.label_values("__name__", &[], 0, 100).unwrap();
    assert_eq!(values, ["a", "b"]);
}
