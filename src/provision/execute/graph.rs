//! Which action may start next. Pure.

use std::collections::BTreeSet;

use plan::{Action, Plan};

/// The plan's actions and how far each has come.
#[derive(Debug)]
pub(super) struct Graph {
    /// How many of its dependencies are still missing.
    missing: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    calls: Vec<bool>,
    ready: BTreeSet<usize>,
    done: usize,
    calls_stopped: bool,
    all_stopped: bool,
}

impl Graph {
    pub(super) fn new(plan: &Plan) -> Self {
        let needs = plan.dependencies();
        let mut dependents = vec![Vec::new(); needs.len()];
        for (index, needs) in needs.iter().enumerate() {
            for need in needs {
                dependents[*need].push(index);
            }
        }
        let missing: Vec<usize> = needs.iter().map(Vec::len).collect();
        let ready = (0..missing.len()).filter(|i| missing[*i] == 0).collect();
        let calls = plan.actions.iter().map(|a| matches!(a, Action::Cloud { .. })).collect();
        Self { missing, dependents, calls, ready, done: 0, calls_stopped: false, all_stopped: false }
    }

    /// The first action, in the plan's order, that may start now. It is not given twice.
    pub(super) fn start(&mut self) -> Option<usize> {
        if self.all_stopped {
            return None;
        }
        let index = *self.ready.iter().find(|i| !(self.calls_stopped && self.calls[**i]))?;
        self.ready.remove(&index);
        Some(index)
    }

    pub(super) fn succeeded(&mut self, index: usize) {
        self.done += 1;
        for dependent in std::mem::take(&mut self.dependents[index]) {
            self.missing[dependent] -= 1;
            if self.missing[dependent] == 0 {
                self.ready.insert(dependent);
            }
        }
    }

    /// What depends on `index` never starts; after a failed call no other call does.
    pub(super) fn failed(&mut self, index: usize, stops_everything: bool) {
        self.calls_stopped |= self.calls[index];
        self.all_stopped |= stops_everything;
    }

    /// Actions that succeeded.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Actions that did not.
    pub(super) fn left(&self) -> usize {
        self.missing.len() - self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::model::{Call, Ref, Tags};
    use plan::{Role, Step};

    fn call(request: Call<Ref>) -> Action {
        Action::Cloud { request, reason: None }
    }

    fn plan() -> Plan {
        let vpc = Ref::Slot("vpc".into());
        let cidr = "10.0.0.0/16".parse().unwrap();
        let step = |slot: &str, step| Action::Bootstrap { slot: slot.into(), role: Role::Master, step };
        let actions = vec![
            call(Call::CreateVpc { slot: "vpc".into(), cidr, tags: Tags::default() }),
            call(Call::CreateRouteTable { slot: "table".into(), vpc, tags: Tags::default() }),
            call(Call::DeleteVolume { volume: Ref::Id("vol-1".into()) }),
            step("a-0", Step::Reach),
            step("a-0", Step::HostKey),
            step("a-1", Step::Reach),
            step("a-1", Step::HostKey),
        ];
        Plan { actions, notes: vec![] }
    }

    fn startable(graph: &mut Graph) -> Vec<usize> {
        std::iter::from_fn(|| graph.start()).collect()
    }

    #[test]
    fn an_action_starts_once_when_all_it_needs_has_succeeded() {
        let mut graph = Graph::new(&plan());
        assert_eq!(startable(&mut graph), [0, 2, 3, 5]);
        graph.succeeded(0);
        assert_eq!(startable(&mut graph), [1]);
    }

    #[test]
    fn a_failed_call_stops_calls_and_lets_steps_go_on() {
        let mut graph = Graph::new(&plan());
        assert_eq!(startable(&mut graph), [0, 2, 3, 5]);
        graph.failed(2, false);
        graph.succeeded(0);
        graph.succeeded(3);
        assert_eq!(startable(&mut graph), [4]);
        assert_eq!((graph.done(), graph.left()), (2, 5));
    }

    #[test]
    fn a_failed_step_stops_its_own_node_only() {
        let mut graph = Graph::new(&plan());
        startable(&mut graph);
        graph.failed(3, false);
        graph.succeeded(5);
        graph.succeeded(0);
        assert_eq!(startable(&mut graph), [1, 6]);
    }

    #[test]
    fn after_what_concerns_everything_nothing_starts() {
        let mut graph = Graph::new(&plan());
        graph.failed(3, true);
        assert_eq!(startable(&mut graph), Vec::<usize>::new());
    }
}
