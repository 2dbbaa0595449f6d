//! What many certificates have in common, by a number of two bytes.

use std::{collections::HashMap, sync::Arc};

use crate::IssuerName;

/// The labels that many certificates share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) namespace: String,
    pub(super) issuer: IssuerName,
    pub(super) issuer_kind: String,
    pub(super) issuer_group: String,
}

/// Groups by their numbers, which are never given up: there are as many as namespaces and issuers.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Arc<Group>>,
    numbers: HashMap<Arc<Group>, u16>,
}

impl Groups {
    /// The number of a group. Beyond 65 536 of them the rest has the last one's labels: a namespace for each
    /// certificate is no namespace.
    pub(super) fn number(&mut self, group: Group) -> u16 {
        if let Some(known) = self.numbers.get(&group) {
            return *known;
        }
        let Ok(number) = u16::try_from(self.groups.len()) else { return u16::MAX };
        let group = Arc::new(group);
        self.groups.push(group.clone());
        self.numbers.insert(group, number);
        number
    }

    pub(super) fn get(&self, number: u16) -> Option<&Group> {
        self.groups.get(usize::from(number)).map(Arc::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(Arc::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }
}
