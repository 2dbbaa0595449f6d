//! The records of a vendor, whatever its interface.

use std::collections::{BTreeMap, BTreeSet};

/// The zones and records of one account.
///
/// Names are absolute, in lower case, without the final dot; values are plain: not quoted, not cut.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TxtStore {
    /// The zones, in the order of their making.
    pub zones: Vec<StoredZone>,
    /// The records of all zones, in the order of their making.
    pub records: Vec<StoredRecord>,
    /// Names that the credential may not look up as zones.
    pub forbidden: BTreeSet<String>,
    /// How values are written in answers.
    pub echo: Echo,
    /// The most items on a page, whatever a client asks for; the vendor's own rule if `None`.
    pub page_size: Option<usize>,
    /// How often a change is "pending" when it is asked about.
    pub pending_looks: u32,
    versions: BTreeMap<(String, String), u64>,
    last_id: u64,
}

/// A zone of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredZone {
    /// The vendor's identifier.
    pub id: String,
    /// The apex.
    pub name: String,
    /// Whether it is visible in private networks only.
    pub private: bool,
}

/// A record of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// The vendor's identifier.
    pub id: String,
    /// The identifier of its zone.
    pub zone: String,
    /// The owner.
    pub name: String,
    /// The type: `TXT`.
    pub kind: String,
    /// The value, plain.
    pub value: String,
    /// The value as it was sent.
    pub sent: String,
    /// The time to live in seconds.
    pub ttl: u32,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
    /// Whether it is kept and not served.
    pub disabled: bool,
}

/// How a vendor writes values in its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // The forms of RFC 1035, and none.
pub enum Echo {
    /// As they were sent.
    #[default]
    AsSent,
    /// As they are.
    Plain,
    /// In quotes.
    Quoted,
    /// In two quoted strings.
    Segmented,
}

impl TxtStore {
    /// Makes a zone. Its identifier is 32 hexadecimal digits, as some vendors' are.
    pub fn add_zone(&mut self, name: &str) -> StoredZone {
        let id = format!("{:032x}", self.next_id());
        let zone = StoredZone { id, name: name.to_owned(), private: false };
        self.zones.push(zone.clone());
        zone
    }

    /// Makes a zone for private networks, with the name of another.
    pub fn add_private_zone(&mut self, name: &str) -> StoredZone {
        let mut zone = self.add_zone(name);
        zone.private = true;
        if let Some(stored) = self.zones.last_mut() {
            stored.private = true;
        }
        zone
    }

    /// The public zone with this apex.
    #[must_use]
    pub fn zone_named(&self, name: &str) -> Option<&StoredZone> {
        self.zones.iter().find(|zone| zone.name == name && !zone.private)
    }

    /// The zone with this identifier.
    #[must_use]
    pub fn zone(&self, id: &str) -> Option<&StoredZone> {
        self.zones.iter().find(|zone| zone.id == id)
    }

    /// Whether the credential may not look this zone up.
    #[must_use]
    pub fn is_forbidden(&self, name: &str) -> bool {
        self.forbidden.contains(name)
    }

    /// Puts a TXT record into the zone with this apex, as somebody else would; returns its identifier.
    ///
    /// # Panics
    /// Without such a zone: the test is wrong.
    pub fn add(&mut self, zone: &str, name: &str, value: &str, ttl: u32) -> String {
        let Some(id) = self.zone_named(zone).map(|zone| zone.id.clone()) else {
            panic!("the store has no zone {zone}")
        };
        self.insert(&id, name, value, value, ttl)
    }

    /// Puts a TXT record into the zone with this identifier; returns the record's.
    pub fn insert(&mut self, zone_id: &str, name: &str, value: &str, sent: &str, ttl: u32) -> String {
        let id = self.next_id().to_string();
        self.records.push(StoredRecord {
            id: id.clone(),
            zone: zone_id.to_owned(),
            name: name.to_owned(),
            kind: "TXT".to_owned(),
            value: value.to_owned(),
            sent: sent.to_owned(),
            ttl,
            comment: None,
            disabled: false,
        });
        self.touch(zone_id, name);
        id
    }

    /// Takes a record away; whether it was there.
    pub fn remove(&mut self, zone_id: &str, id: &str) -> bool {
        let place = self.records.iter().position(|record| record.zone == zone_id && record.id == id);
        let Some(place) = place else { return false };
        let record = self.records.remove(place);
        self.touch(zone_id, &record.name);
        true
    }

    /// The TXT records at a name of a zone.
    pub fn txt<'s>(&'s self, zone_id: &'s str, name: &'s str) -> impl Iterator<Item = &'s StoredRecord> {
        self.records
            .iter()
            .filter(move |record| record.zone == zone_id && record.name == name && record.kind == "TXT")
    }

    /// The TXT values at a name, in whatever zone, sorted; what is there twice is here twice.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<String> {
        let at_name = self.records.iter().filter(|record| record.name == name && record.kind == "TXT");
        let mut values: Vec<_> = at_name.map(|record| record.value.clone()).collect();
        values.sort();
        values
    }

    /// How often the set at a name has changed: what an ETag is made of.
    #[must_use]
    pub fn version(&self, zone_id: &str, name: &str) -> u64 {
        self.versions.get(&(zone_id.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }

    /// Counts a change of the set at a name.
    pub fn touch(&mut self, zone_id: &str, name: &str) {
        *self.versions.entry((zone_id.to_owned(), name.to_owned())).or_default() += 1;
    }

    /// A number that was not used before.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A record's value as this vendor writes it.
    #[must_use]
    pub fn echoed(&self, record: &StoredRecord) -> String {
        self.echoed_as(self.echo, record)
    }

    /// A record's value as a vendor with this habit writes it.
    #[must_use]
    pub fn echoed_as(&self, echo: Echo, record: &StoredRecord) -> String {
        match echo {
            Echo::AsSent => record.sent.clone(),
            Echo::Plain => record.value.clone(),
            Echo::Quoted => quoted(&record.value),
            Echo::Segmented => {
                let middle = record.value.char_indices().nth(record.value.chars().count() / 2);
                let (first, second) = record.value.split_at(middle.map_or(0, |(place, _)| place));
                format!("{} {}", quoted(first), quoted(second))
            }
        }
    }

    /// One page of `items`: those of page number `page`, counted from 1, and whether there are more.
    #[must_use]
    pub fn page<'i, T>(&self, items: &'i [T], page: usize, per_page: usize) -> (&'i [T], bool) {
        let per_page = self.page_size.unwrap_or(usize::MAX).min(per_page).max(1);
        let from = page.saturating_sub(1).saturating_mul(per_page).min(items.len());
        let to = from.saturating_add(per_page).min(items.len());
        (items.get(from..to).unwrap_or_default(), to < items.len())
    }
}

/// In quotes, with `"` and `\` escaped (RFC 1035 §5.1); what is longer than 255 bytes in several.
pub(super) fn quoted(value: &str) -> String {
    let escaped = |part: &[u8]| {
        let mut text = String::from("\"");
        for byte in part {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => text.push(char::from(*byte)),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text.push('"');
        text
    };
    if value.is_empty() {
        return "\"\"".to_owned();
    }
    value.as_bytes().chunks(255).map(escaped).collect::<Vec<_>>().join(" ")
}

/// The plain value of what a client sent: quoted strings unescaped and joined, anything else as it is.
#[must_use]
pub(super) fn plain(sent: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = sent.trim().as_bytes();
    if rest.first() != Some(&b'"') {
        return sent.to_owned();
    }
    while let Some((b'"', mut inside)) = rest.split_first() {
        loop {
            match inside {
                [b'"', after @ ..] => {
                    rest = after.trim_ascii_start();
                    break;
                }
                [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                    let number = [a, b, c].iter().fold(0_u32, |n, digit| n * 10 + u32::from(**digit - b'0'));
                    bytes.push(u8::try_from(number).unwrap_or(b'?'));
                    inside = after;
                }
                [b'\\', escaped, after @ ..] => {
                    bytes.push(*escaped);
                    inside = after;
                }
                [] | [b'\\'] => return sent.to_owned(),
                [byte, after @ ..] => {
                    bytes.push(*byte);
                    inside = after;
                }
            }
        }
    }
    if rest.is_empty() { String::from_utf8_lossy(&bytes).into_owned() } else { sent.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_echo_stands_for_the_same_value() {
        let mut store = TxtStore::default();
        store.add_zone("example.com");
        let value = format!(r#"a "b" \ ü {}"#, "x".repeat(300));
        store.add("example.com", "a.example.com", &value, 60);
        for echo in [Echo::AsSent, Echo::Plain, Echo::Quoted, Echo::Segmented] {
            store.echo = echo;
            assert_eq!(plain(&store.echoed(&store.records[0])), value, "{echo:?}");
        }
    }

    #[test]
    fn pages_have_an_end() {
        let mut store = TxtStore::default();
        let items: Vec<_> = (0..5).collect();
        assert_eq!(store.page(&items, 1, 3), (&items[..3], true));
        assert_eq!(store.page(&items, 2, 3), (&items[3..], false));
        assert_eq!(store.page(&items, 9, 3).0.len(), 0);
        store.page_size = Some(1);
        assert_eq!(store.page(&items, 2, 100), (&items[1..2], true));
    }
}
