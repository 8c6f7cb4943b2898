//! What a controller keeps of the objects of one resource.

use std::collections::BTreeMap;

use crate::Place;

/// A value per object, by place. Relisting says what vanished while nobody watched.
#[derive(Debug, Clone)]
pub struct Projection<T>(BTreeMap<Place, T>);

impl<T> Default for Projection<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Projection<T> {
    /// The value of an object.
    pub fn get(&self, place: &Place) -> Option<&T> {
        self.0.get(place)
    }

    /// Sets a value and gives the one before.
    pub fn put(&mut self, place: Place, value: T) -> Option<T> {
        self.0.insert(place, value)
    }

    /// Forgets an object and gives its value.
    pub fn remove(&mut self, place: &Place) -> Option<T> {
        self.0.remove(place)
    }

    /// Takes a whole list and gives what was there and is not any more.
    pub fn replace(&mut self, items: impl IntoIterator<Item = (Place, T)>) -> Vec<(Place, T)> {
        let mut before = std::mem::replace(&mut self.0, items.into_iter().collect());
        before.retain(|place, _| !self.0.contains_key(place));
        before.into_iter().collect()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &T)> + Clone {
        self.0.iter()
    }
}
