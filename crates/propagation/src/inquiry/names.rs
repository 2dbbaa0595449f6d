//! Where a record lands that was meant for another name.

use perennial_core::DomainName;

use crate::report::Mistake;

/// The wildcards that may make up a name in this zone, from the nearest up.
pub(super) fn wildcards(name: &DomainName, apex: &DomainName) -> Vec<DomainName> {
    above(name, apex).filter_map(|parent| DomainName::parse(&format!("*.{parent}")).ok()).take(MAX).collect()
}

/// The names at which a value may stand by mistake, likeliest first; all in the zone.
pub(super) fn mistaken(name: &DomainName, apex: &DomainName) -> Vec<(DomainName, Mistake)> {
    let relative = name.as_str().strip_suffix(apex.as_str()).map(|rest| rest.trim_end_matches('.'));
    let (Some(relative), Some(label)) = (relative.filter(|rest| !rest.is_empty()), name.labels().next())
    else {
        return Vec::new();
    };
    let mut texts = vec![(format!("{name}.{apex}"), Mistake::Doubled)];
    for parent in above(name, apex).filter(|parent| parent != apex) {
        // The whole name, or the part before the zone, below a name that was taken for the zone.
        texts.push((format!("{name}.{parent}"), Mistake::Doubled));
        texts.push((format!("{relative}.{parent}"), Mistake::Doubled));
    }
    texts.push((format!("{label}.{name}"), Mistake::Misplaced));
    texts.push((format!("{label}.{apex}"), Mistake::Misplaced));
    texts.extend(above(name, apex).next().map(|parent| (parent.to_string(), Mistake::Misplaced)));
    let mut found: Vec<(DomainName, Mistake)> = Vec::new();
    for (text, mistake) in texts {
        if let Ok(other) = DomainName::parse(&text)
            && other != *name
            && !found.iter().any(|(known, _)| *known == other)
        {
            found.push((other, mistake));
        }
    }
    found.truncate(MAX);
    found
}

/// The names above, the zone's own included.
fn above(name: &DomainName, apex: &DomainName) -> impl Iterator<Item = DomainName> {
    let within = |name: &DomainName| name.is_at_or_below(apex);
    std::iter::successors(name.parent(), DomainName::parent).take_while(within)
}

/// The most names of one kind that are tried.
const MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn the_usual_mistakes_are_tried_and_none_outside_the_zone() {
        let found = mistaken(&name("_acme-challenge.www.example.com"), &name("example.com"));
        let shown: Vec<String> = found.iter().map(|(name, mistake)| format!("{mistake:?} {name}")).collect();
        assert_eq!(
            shown,
            [
                "Doubled _acme-challenge.www.example.com.example.com",
                "Doubled _acme-challenge.www.example.com.www.example.com",
                "Doubled _acme-challenge.www.www.example.com",
                "Misplaced _acme-challenge._acme-challenge.www.example.com",
                "Misplaced _acme-challenge.example.com",
                "Misplaced www.example.com",
            ]
        );
        let apex = mistaken(&name("_acme-challenge.example.com"), &name("example.com"));
        assert_eq!(apex.len(), 3, "{apex:?}");
        assert_eq!(mistaken(&name("example.com"), &name("example.com")), []);
        assert_eq!(mistaken(&name("example.com"), &name("other.example")), []);
    }

    #[test]
    fn wildcards_are_tried_up_to_the_top_of_the_zone() {
        let found = wildcards(&name("_acme-challenge.a.example.com"), &name("example.com"));
        assert_eq!(found, [name("*.a.example.com"), name("*.example.com")]);
        let deep: String = (0..40).map(|label| format!("l{label}.")).collect();
        let deep = name(&format!("{deep}example.com"));
        assert_eq!(wildcards(&deep, &name("example.com")).len(), MAX);
        assert_eq!(mistaken(&deep, &name("example.com")).len(), MAX);
    }
}
