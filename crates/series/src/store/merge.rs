//! Merging neighbouring blocks into larger ones.

use std::io;
use std::sync::Arc;

use bellwether_model::series::SampleBuffer;

use super::open::millis;
use super::query::MergeCursor;
use super::{Maintenance, Store};
use crate::block::{Block, Plan};
use crate::report::MaintainReport;

/// Lengths of merged blocks, in spans of a first block.
const LENGTHS: [i64; 3] = [3, 9, 27];

impl Store {
    /// Merges every complete group, shortest first.
    pub(super) fn merge_blocks(&self, maintenance: &mut Maintenance, report: &mut MaintainReport) {
        // A block is deleted whole, so one must not be long against the retention.
        let longest = (millis(self.options.retention) / 10).max(self.span);
        for length in LENGTHS.map(|spans| self.span.saturating_mul(spans)) {
            if length > longest {
                break;
            }
            while let Some(group) = group_to_merge(&self.blocks(), length) {
                let count = group.len();
                if let Err(error) = self.merge(maintenance, &group, length) {
                    report
                        .failures
                        .push(format!("could not merge {count} blocks: {error}"));
                    return;
                }
                report.merged += count;
            }
        }
    }

    fn merge(
        &self,
        maintenance: &mut Maintenance,
        group: &[Arc<Block>],
        length: i64,
    ) -> io::Result<()> {
        let start = group[0].contents.start.div_euclid(length);
        let start = start.saturating_mul(length);
        // What the parents replaced is named again: should one of those files still be there, it is not read twice.
        let replaces = group
            .iter()
            .flat_map(|block| {
                let older = block.contents.replaces.iter().copied();
                older.chain([block.contents.id])
            })
            .collect();
        let head_end = group.iter().map(|block| block.contents.head_end).max();
        let plan = Plan {
            start,
            end: start.saturating_add(length),
            head_end: head_end.unwrap_or(i64::MIN),
            replaces,
        };
        let mut writer = self.block_writer(maintenance, plan)?;
        let damaged = |damage: crate::report::Damage| io::Error::other(damage.to_string());
        let mut cursor = MergeCursor::new(group).map_err(damaged)?;
        let mut buffer = SampleBuffer::default();
        while let Some(labels) = cursor.next(&mut buffer).map_err(damaged)? {
            writer.add(&labels, &buffer)?;
        }
        self.publish(writer, group)
    }
}

/// Blocks that together fill a window of `length` which no new block can join.
fn group_to_merge(blocks: &[Arc<Block>], length: i64) -> Option<Vec<Arc<Block>>> {
    let newest = blocks.iter().map(|block| block.contents.end).max()?;
    let window = |block: &Block| block.contents.start.div_euclid(length);
    blocks
        .chunk_by(|a, b| window(a) == window(b))
        .find(|group| {
            let end = (window(&group[0]) + 1).saturating_mul(length);
            group.len() > 1
                && newest >= end
                && group
                    .iter()
                    .all(|block| block.contents.end <= end && block.damage().is_none())
        })
        .map(<[_]>::to_vec)
}
