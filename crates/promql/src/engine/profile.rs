//! What each part of a query costs.
//!
//! Series are pushed from the leaves upwards, so a part's own time is what passes between its being entered and its
//! handing a series on, not counting what others do in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::eval::{Evaluated, Sink};
use crate::ast::Expr;
use crate::inspect::{ExplainNode, NodeCost};

/// Costs by the address of the expression; 0 is whoever asked.
pub(crate) type Costs = BTreeMap<usize, NodeCost>;

/// Notes costs during one query.
pub(crate) struct Profile<'a> {
    clock: &'a dyn Fn() -> u64,
    costs: RefCell<Costs>,
    /// Who is running, since when.
    running: Cell<(usize, u64)>,
}

fn address(expr: &Expr) -> usize {
    std::ptr::from_ref(expr) as usize
}

impl<'a> Profile<'a> {
    pub(crate) fn new(clock: &'a dyn Fn() -> u64) -> Self {
        Self {
            clock,
            costs: RefCell::default(),
            running: Cell::new((0, clock())),
        }
    }

    /// Hands the clock to another part; returns who had it.
    fn switch(&self, to: usize) -> usize {
        let now = (self.clock)();
        let (from, since) = self.running.replace((to, now));
        let mut costs = self.costs.borrow_mut();
        costs.entry(from).or_default().nanos += now.saturating_sub(since);
        from
    }

    /// Notes a series read by whoever is running.
    pub(crate) fn read(&self, samples: usize) {
        let mut costs = self.costs.borrow_mut();
        let cost = costs.entry(self.running.get().0).or_default();
        cost.series_read += 1;
        cost.samples_read += samples;
    }

    /// Runs a part.
    pub(crate) fn measure(
        &self,
        expr: &Expr,
        sink: &mut Sink<'_>,
        run: &mut dyn FnMut(&mut Sink<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let here = address(expr);
        let caller = self.switch(here);
        let result = run(&mut |series| {
            self.costs.borrow_mut().entry(here).or_default().series += 1;
            let inner = self.switch(caller);
            let taken = sink(series);
            self.switch(inner);
            taken
        });
        self.switch(caller);
        result
    }

    pub(crate) fn finish(self) -> Costs {
        self.switch(0);
        self.costs.into_inner()
    }
}

/// Puts the costs at the nodes of a plan.
pub(crate) fn attach(plan: &mut ExplainNode, expr: &Expr, costs: &Costs) {
    plan.cost = costs.get(&address(expr)).copied();
    for (child, expr) in plan.children.iter_mut().zip(expr.children()) {
        attach(child, expr, costs);
    }
}
