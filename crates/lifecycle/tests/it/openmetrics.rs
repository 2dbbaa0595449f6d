//! A strict reader of the text format (OpenMetrics 1.0 §"Overall Structure", "ABNF"): what it takes Prometheus takes.

use std::collections::{BTreeMap, BTreeSet};

/// What a scrape says: the types of all families, and all series.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, String>,
    pub(crate) series: BTreeMap<Series, f64>,
}

/// A sample's name and its labels.
pub(crate) type Series = (String, BTreeMap<String, String>);

impl Exposition {
    /// Reads a whole exposition, or says which line is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
        let (mut it, mut current, mut described) = (Self::default(), String::new(), BTreeSet::new());
        for line in body.split_terminator('\n') {
            let wrong = |what: &str| format!("{what}: {line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
                if !described.insert(name.to_owned()) || help.is_empty() {
                    return Err(wrong("a family that comes twice"));
                }
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                if !described.contains(name) || it.families.insert(name.to_owned(), kind.to_owned()).is_some()
                {
                    return Err(wrong("a type without help, or twice"));
                }
                name.clone_into(&mut current);
            } else if line.starts_with('#') || line.is_empty() {
                return Err(wrong("what is this"));
            } else {
                let (name, labels, value) = sample(line).ok_or_else(|| wrong("no sample"))?;
                if !it.belongs(&name, &current) {
                    return Err(wrong(&format!("a sample that does not belong to {current}")));
                }
                if it.series.insert((name, labels), value).is_some() {
                    return Err(wrong("a series that comes twice"));
                }
            }
        }
        it.check_histograms()?;
        Ok(it)
    }

    fn belongs(&self, sample: &str, family: &str) -> bool {
        let Some(suffix) = sample.strip_prefix(family) else { return false };
        match self.families.get(family).map(String::as_str) {
            Some("counter") => suffix == "_total",
            Some("gauge" | "unknown") => suffix.is_empty(),
            Some("histogram") => ["_bucket", "_count", "_sum"].contains(&suffix),
            _ => false,
        }
    }

    /// Buckets grow, and the last one holds everything.
    fn check_histograms(&self) -> Result<(), String> {
        for (family, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut ladders = BTreeMap::<BTreeMap<String, String>, Vec<(f64, f64)>>::new();
            for ((name, labels), value) in &self.series {
                if *name == format!("{family}_bucket") {
                    let mut labels = labels.clone();
                    let le = labels.remove("le").ok_or("a bucket without le")?;
                    let le = if le == "+Inf" { f64::INFINITY } else { le.parse().map_err(|_| le.clone())? };
                    ladders.entry(labels).or_default().push((le, *value));
                }
            }
            for (labels, mut ladder) in ladders {
                ladder.sort_by(|one, other| one.0.total_cmp(&other.0));
                let grows = ladder.windows(2).all(|pair| pair[0].1 <= pair[1].1);
                let count = self.series.get(&(format!("{family}_count"), labels.clone()));
                let all = ladder.last().filter(|(le, _)| le.is_infinite()).map(|(_, value)| value);
                if !grows || all != count {
                    return Err(format!("{family} {labels:?}: {ladder:?}, {count:?} in all"));
                }
            }
        }
        Ok(())
    }

    /// The value of the only series of this name that has these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, labels);
        let first = found.next();
        assert!(found.next().is_none(), "several series of {name} have {labels:?}");
        first
    }

    /// The values of all series of this name that have these labels, perhaps among others.
    pub(crate) fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = f64> + 'a {
        let has = move |found: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| found.get(*key).is_some_and(|found| found == value))
        };
        self.series.iter().filter(move |((found, own), _)| found == name && has(own)).map(|(_, value)| *value)
    }
}

fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ')?;
    (!name.is_empty()).then_some(())?;
    Some((name.to_owned(), labels, value.parse().ok()?))
}

/// Labels up to the closing brace, and what follows.
fn labels(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let (mut labels, mut rest) = (BTreeMap::new(), text);
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (key, after) = rest.split_once("=\"")?;
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return None;
        }
        let (mut value, mut characters) = (String::new(), after.chars());
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(match characters.next()? {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                plain => value.push(plain),
            }
        }
        if labels.insert(key.to_owned(), value).is_some() {
            return None;
        }
        rest = characters.as_str();
        rest = match rest.strip_prefix(',') {
            Some(more) if !more.starts_with('}') => more,
            Some(_) => return None,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

#[test]
fn what_is_no_exposition_is_refused() {
    let head = "# HELP a b\n# TYPE a counter\n";
    for (body, ok) in [
        ("a_total{x=\"1\"} 1\n", true),
        ("a{x=\"1\"} 1\n", false),
        ("a_total{x=\"1\"} 1\na_total{x=\"1\"} 2\n", false),
        ("a_total{x=\"1} 1\n", false),
        ("a_total{x=\"\\q\"} 1\n", false),
        ("a_total{x=\"1\",} 1\n", false),
        ("b_total 1\n", false),
        ("a_total one\n", false),
        ("\n", false),
    ] {
        assert_eq!(Exposition::parse(&format!("{head}{body}# EOF\n")).is_ok(), ok, "{body}");
    }
    assert!(Exposition::parse(head).is_err(), "a scrape that was cut off");
}
