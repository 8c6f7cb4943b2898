//! One kind of resource, with AWS's eventual consistency: what was just made is
//! missing from lists and unknown to calls for a while, what was deleted lingers in lists.

use std::collections::BTreeMap;

use plan::model::{
    Instance, InternetGateway, KeyPair, NetworkInterface, RouteTable, SecurityGroup, Subnet, Tags, Volume,
    Vpc,
};

use crate::error::CloudError;

/// What every kind of resource has.
pub(super) trait Thing: Clone {
    /// The code AWS gives when there is none of this id.
    const NOT_FOUND: &'static str;
    /// The word AWS uses for it.
    const NOUN: &'static str;
    fn id(&self) -> &str;
    fn vpc(&self) -> Option<&str>;
    fn tags(&self) -> &Tags;
}

macro_rules! thing {
    ($type:ty, $code:literal, $noun:literal, $self:ident => $vpc:expr) => {
        impl Thing for $type {
            const NOT_FOUND: &'static str = $code;
            const NOUN: &'static str = $noun;
            fn id(&self) -> &str {
                &self.id
            }
            fn vpc(&$self) -> Option<&str> {
                $vpc
            }
            fn tags(&self) -> &Tags {
                &self.tags
            }
        }
    };
}

thing!(Vpc, "InvalidVpcID.NotFound", "vpc", self => Some(&self.id));
thing!(InternetGateway, "InvalidInternetGatewayID.NotFound", "internetGateway", self => self.vpc.as_deref());
thing!(RouteTable, "InvalidRouteTableID.NotFound", "routeTable", self => Some(&self.vpc));
thing!(Subnet, "InvalidSubnetID.NotFound", "subnet", self => Some(&self.vpc));
thing!(SecurityGroup, "InvalidGroup.NotFound", "security group", self => Some(&self.vpc));
thing!(KeyPair, "InvalidKeyPair.NotFound", "key pair", self => None);
thing!(Instance, "InvalidInstanceID.NotFound", "instance", self => self.vpc.as_deref());
thing!(Volume, "InvalidVolume.NotFound", "volume", self => None);
thing!(NetworkInterface, "InvalidNetworkInterfaceID.NotFound", "networkInterface", self => Some(&self.vpc));

/// How long a change stays unseen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lag {
    /// Lists that miss it.
    pub(super) lists: u32,
    /// Calls that do not know it.
    pub(super) uses: u32,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    value: T,
    lag: Lag,
    /// Deleted: lists that still show it.
    ghost: Option<u32>,
}

/// All resources of one kind, by id.
#[derive(Debug, Clone)]
pub(super) struct Shelf<T>(BTreeMap<String, Entry<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Thing> Shelf<T> {
    pub(super) fn put(&mut self, value: T, lag: Lag) {
        self.0.insert(value.id().to_owned(), Entry { value, lag, ghost: None });
    }

    /// What is there, whether or not AWS would tell yet.
    pub(super) fn live(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter(|entry| entry.ghost.is_none()).map(|entry| &entry.value)
    }

    pub(super) fn live_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().filter(|entry| entry.ghost.is_none()).map(|entry| &mut entry.value)
    }

    /// What is there under `id`, whether or not AWS would tell yet.
    pub(super) fn truth(&mut self, id: &str) -> Option<&mut T> {
        self.0.get_mut(id).filter(|entry| entry.ghost.is_none()).map(|entry| &mut entry.value)
    }

    /// The resource as a call of `operation` sees it.
    pub(super) fn find(&mut self, operation: &str, id: &str) -> Result<&mut T, CloudError> {
        match self.0.get_mut(id) {
            Some(entry) if entry.ghost.is_none() && entry.lag.uses == 0 => Ok(&mut entry.value),
            Some(entry) if entry.ghost.is_none() => {
                entry.lag.uses -= 1;
                Err(not_found::<T>(operation, id))
            }
            _ => Err(not_found::<T>(operation, id)),
        }
    }

    /// One Describe: what it shows of what fits.
    pub(super) fn list(&mut self, fits: impl Fn(&T) -> bool) -> Vec<T> {
        let mut shown = Vec::new();
        for entry in self.0.values_mut().filter(|entry| fits(&entry.value)) {
            if entry.lag.lists > 0 && entry.ghost.is_none() {
                entry.lag.lists -= 1;
                continue;
            }
            match &mut entry.ghost {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            shown.push(entry.value.clone());
        }
        shown
    }

    /// Deletes; `ghosts` further lists still show it.
    pub(super) fn delete(&mut self, id: &str, ghosts: u32) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.ghost = Some(ghosts);
        }
    }
}

fn not_found<T: Thing>(operation: &str, id: &str) -> CloudError {
    CloudError::refused(operation, T::NOT_FOUND, format!("The {} ID '{id}' does not exist", T::NOUN))
}
