use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn set_operations_are_those_of_sets(
        a in prop::collection::btree_set(0..200_u32, 0..80),
        b in prop::collection::btree_set(0..200_u32, 0..80),
    ) {
        let (left, right): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
        prop_assert_eq!(intersect(&left, &right), a.intersection(&b).copied().collect::<Vec<_>>());
        prop_assert_eq!(subtract(&left, &right), a.difference(&b).copied().collect::<Vec<_>>());
    }
}
