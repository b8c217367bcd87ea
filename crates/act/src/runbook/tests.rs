use super::Runbook;
mod corpus;
