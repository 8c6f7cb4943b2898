//! One account, one state folder, one cluster: what outlives a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base::{Ids, ManualClock, SeededIds};
use cloud::fake::{Fake, Rules};
use cloud::{
    Caller, Cloud, CloudError, Image, ImageQuery, InstanceType, Neighbour, Outcome, Permission, Zone,
};
use ipnet::Ipv4Net;
use plan::Step;
use plan::config::Config;
use plan::model::{Call, Instance, InstanceState, Inventory, LaunchRequest};
use plan::planner::{Desired, Observed, Resolved};

use crate::execute::Limits;
use crate::state::tests::Scratch;
use crate::state::{Folder, StateFile};

pub(crate) const NAME: &str = "shop";
pub(crate) const UID: &str = "0123456789abcdef";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// What outlives a process.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) fake: Arc<Fake>,
    pub(crate) account: Arc<Account>,
    pub(crate) ids: SeededIds,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    /// The steps done on each instance.
    pub(crate) nodes: Mutex<BTreeMap<String, BTreeSet<Step>>>,
    /// The most calls that were ever in flight at once.
    pub(crate) busiest: Arc<AtomicUsize>,
    /// Journal entries that the last process wrote.
    pub(crate) writes: Arc<AtomicU64>,
    bystanders: Inventory,
}

/// The fake behind a book of what really happened, whoever learned of it.
pub(crate) struct Account {
    fake: Arc<Fake>,
    /// What each slot was filled with, in order.
    pub(crate) made: Mutex<BTreeMap<String, Vec<String>>>,
    /// The request of each instance.
    pub(crate) requests: Mutex<BTreeMap<String, LaunchRequest<String>>>,
    /// So many more listings show no machine, nor what belongs to it.
    pub(crate) blind: AtomicU32,
    /// The next call of this action takes effect and is answered with an error of AWS's own.
    pub(crate) stumbles: Mutex<Option<&'static str>>,
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let fake = Arc::new(Fake::new(clock.clone(), rules));
        fake.plant_bystander();
        let account = Arc::new(Account {
            fake: fake.clone(),
            made: Mutex::default(),
            requests: Mutex::default(),
            blind: AtomicU32::default(),
            stumbles: Mutex::default(),
        });
        let mut config = Config::defaults(NAME);
        config.workers[0].count = 2;
        let bystanders = fake.world();
        Self {
            scratch: Scratch::new(),
            clock,
            fake,
            account,
            ids: SeededIds::default(),
            config,
            limits: Limits::default(),
            nodes: Mutex::default(),
            busiest: Arc::default(),
            writes: Arc::default(),
            bystanders,
        }
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::new(&self.scratch.0, "123456789012", "us-east-1", NAME).unwrap()
    }

    pub(crate) fn state(&self) -> StateFile {
        self.folder().read().unwrap().unwrap()
    }

    pub(crate) fn desired(&self) -> Desired {
        let here = vec!["203.0.113.7/32".parse().unwrap()];
        let resolved = Resolved {
            uid: UID.to_owned(),
            image: "ami-00000000000000a12".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            offered_zones: ["a", "b"].map(|zone| format!("us-east-1{zone}")).to_vec(),
            ssh: here.clone(),
            api: here.clone(),
            services: here,
            public_addresses: true,
            public_key: KEY.to_owned(),
        };
        Desired::new(&self.config, &resolved).unwrap()
    }

    /// What a look at the nodes adds to `inventory`.
    pub(crate) fn observed(&self, inventory: &Inventory) -> Observed {
        let nodes = self.nodes.lock().unwrap();
        let desired = self.desired();
        let ready = inventory.instances.iter().filter(|i| i.state == InstanceState::Running);
        let mut unsatisfied = BTreeMap::new();
        for instance in ready {
            let slot = instance.tags.slot().unwrap_or_default();
            if let Some(node) = desired.nodes.iter().find(|node| node.slot == slot) {
                let done = nodes.get(&instance.id).cloned().unwrap_or_default();
                let steps = Step::of_role(node.role).iter().copied();
                unsatisfied.insert(slot.to_owned(), steps.filter(|step| !done.contains(step)).collect());
            }
        }
        let folder = self.folder();
        let established = desired.nodes.iter().filter_map(|node| {
            let id = folder.secret(&format!("established/{}", node.slot)).unwrap()?;
            Some((node.slot.clone(), String::from_utf8(id).unwrap()))
        });
        let established = established.collect();
        Observed { inventory: inventory.clone(), established, unsatisfied }
    }

    /// Nobody else's resource has changed.
    pub(crate) fn assert_bystanders_untouched(&self, what: &str) {
        let mut now = self.fake.world();
        let ours = |tags: &plan::model::Tags| tags.belongs_to(NAME);
        let vpcs: BTreeSet<String> =
            now.vpcs.iter().filter(|vpc| ours(&vpc.tags)).map(|vpc| vpc.id.clone()).collect();
        now.vpcs.retain(|x| !ours(&x.tags));
        now.internet_gateways.retain(|x| !ours(&x.tags));
        now.route_tables.retain(|x| !vpcs.contains(&x.vpc));
        now.subnets.retain(|x| !ours(&x.tags));
        now.security_groups.retain(|x| !vpcs.contains(&x.vpc));
        now.key_pairs.retain(|x| !ours(&x.tags));
        now.instances.retain(|x| !ours(&x.tags));
        now.volumes.retain(|x| !ours(&x.tags));
        now.network_interfaces.retain(|x| !ours(&x.tags));
        assert_eq!(now, self.bystanders, "{what}");
    }

    /// Each slot is filled once, as the configuration says.
    pub(crate) fn assert_complete(&self, what: &str) {
        let left = self.fake.left(NAME);
        let expected = [
            "instance general-0",
            "instance general-1",
            "instance master-0",
            "interface general-0",
            "interface general-1",
            "interface master-0",
            "internet-gateway internet-gateway",
            "key-pair key-pair",
            "route-table route-table",
            "security-group masters",
            "security-group workers",
            "subnet subnet-us-east-1a",
            "subnet subnet-us-east-1b",
            "volume general-0",
            "volume general-1",
            "volume master-0",
            "vpc vpc",
        ];
        let expected: BTreeMap<String, usize> = expected.iter().map(|slot| ((*slot).to_owned(), 1)).collect();
        assert_eq!(left, expected, "{what}");
    }

    /// No slot was ever filled twice.
    pub(crate) fn assert_nothing_made_twice(&self, what: &str) {
        let made = self.account.made.lock().unwrap();
        for (slot, ids) in made.iter() {
            assert_eq!(ids.len(), 1, "{what}: {slot} was made more than once: {ids:?}");
        }
    }

    pub(crate) fn assert_gone(&self, what: &str) {
        assert_eq!(self.fake.left(NAME), BTreeMap::new(), "{what}");
        assert!(!self.folder().path().exists(), "{what}: the state folder is left");
    }
}

impl Ids for World {
    fn next(&self) -> String {
        self.ids.next()
    }
}

impl Account {
    fn is_blind(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.blind.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    fn note(&self, call: &Call<String>, outcome: &Outcome) {
        let (Some(slot), Some(id)) = (call.creates(), &outcome.id) else { return };
        let mut made = self.made.lock().unwrap();
        let ids = made.entry(slot.to_owned()).or_default();
        if !ids.contains(id) {
            ids.push(id.clone());
        }
        if let Call::RunInstances(request) = call {
            self.requests.lock().unwrap().insert(id.clone(), request.clone());
        }
    }
}

#[async_trait]
impl Cloud for Account {
    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError> {
        let outcome = self.fake.apply(call).await?;
        self.note(call, &outcome);
        let mut stumbles = self.stumbles.lock().unwrap();
        if *stumbles == Some(call.action_name()) {
            *stumbles = None;
            return Err(CloudError::refused(call.action_name(), "InternalError", "An internal error"));
        }
        Ok(outcome)
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.fake.caller().await
    }

    async fn inventory(&self, name: &str) -> Result<Inventory, CloudError> {
        let mut inventory = self.fake.inventory(name).await?;
        if self.is_blind() {
            inventory.instances.clear();
            inventory.volumes.clear();
            inventory.network_interfaces.clear();
        }
        Ok(inventory)
    }

    async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError> {
        let instances = self.fake.instances(name).await?;
        Ok(if self.is_blind() { Vec::new() } else { instances })
    }

    async fn permission(&self, call: &Call<String>) -> Result<Permission, CloudError> {
        self.fake.permission(call).await
    }

    async fn image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError> {
        self.fake.image(query).await
    }

    async fn neighbours(&self, name: &str, cidr: Ipv4Net) -> Result<Vec<Neighbour>, CloudError> {
        self.fake.neighbours(name, cidr).await
    }

    async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.fake.zones().await
    }

    async fn instance_types(&self, names: &BTreeSet<String>) -> Result<Vec<InstanceType>, CloudError> {
        self.fake.instance_types(names).await
    }

    async fn console_output(&self, instance: &str) -> Result<String, CloudError> {
        self.fake.console_output(instance).await
    }
}
