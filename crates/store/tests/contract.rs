//! One contract, three stores.

#[path = "contract/differential.rs"]
mod differential;
#[path = "contract/suite.rs"]
mod suite;

use bellwether_store::{MemoryStore, SqliteStore};

#[tokio::test]
async fn memory_keeps_the_contract() {
    for (name, case) in suite::CASES {
        println!("{name}");
        case(&MemoryStore::new()).await;
    }
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    for (name, case) in suite::CASES {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        case(&SqliteStore::open(&folder.path().join("state.db")).unwrap()).await;
    }
}

#[test]
fn sqlite_and_memory_answer_alike() {
    differential::run(64, |_| async {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        (store, folder)
    });
}
