//! A checker's settings from environment variables: what an operator may change without a new build.

use std::time::Duration;

use perennial_core::DomainName;

use crate::{Agreement, Dnssec, Error, NameServer, Nat64, Policy, duration};

use super::CheckerBuilder;

impl CheckerBuilder {
    /// Settings from the environment; what is not set keeps its default.
    ///
    /// | variable | holds |
    /// |---|---|
    /// | `PERENNIAL_NAMESERVERS` | [`nameservers`](Self::nameservers), separated by commas |
    /// | `PERENNIAL_NAMESERVERS_FOR` | [`nameservers_for`](Self::nameservers_for), as in `example.com=8.8.8.8,1.1.1.1;example.org=tls://dns.example` |
    /// | `PERENNIAL_NAMESERVERS_ONLY` | `true` for [`Policy::RecursiveOnly`], unless `PERENNIAL_POLICY` is set |
    /// | `PERENNIAL_ITERATIVE` | `true` for [`iterative`](Self::iterative) |
    /// | `PERENNIAL_NAT64` | `auto`, `off`, or prefixes separated by commas |
    /// | `PERENNIAL_POLICY` | [`policy`](Self::policy): `all`, `any`, `quorum:2`, `recursive-only`, `strict`, `wait:30s` |
    /// | `PERENNIAL_GRACE` | [`grace`](Self::grace), as in `500ms`, `30s`, `2m` |
    /// | `PERENNIAL_SETTLE` | [`settle`](Self::settle), likewise |
    /// | `PERENNIAL_AUTHORITATIVE_SERVERS` | [`authoritative_servers`](Self::authoritative_servers), separated by commas |
    /// | `PERENNIAL_AUTHORITATIVE_PORT` | [`authoritative_port`](Self::authoritative_port) |
    /// | `PERENNIAL_VANTAGE_POINTS` | [`vantage_points`](Self::vantage_points), separated by commas |
    /// | `PERENNIAL_VANTAGE_AGREEMENT` | [`vantage_agreement`](Self::vantage_agreement): `reported` or `required` |
    /// | `PERENNIAL_DNSSEC` | [`dnssec`](Self::dnssec): `off`, `warn` or `require` |
    ///
    /// # Errors
    /// [`Error::BadSetting`] or [`Error::BadNameServer`] with the variable's value and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut builder = Self::default();
        if let Some(servers) = variable("PERENNIAL_NAMESERVERS") {
            let parse = |server: &str| server.trim().parse::<NameServer>().map_err(Error::from);
            builder = builder.nameservers(servers.split(',').map(parse).collect::<Result<Vec<_>, _>>()?);
        }
        let bad = |name: &'static str, value: &str, remedy: &str| Error::BadSetting {
            variable: name,
            value: value.chars().take(80).collect(),
            remedy: remedy.to_owned(),
        };
        if let Some(zones) = variable("PERENNIAL_NAMESERVERS_FOR") {
            for setting in zones.split(';').filter(|setting| !setting.trim().is_empty()) {
                let remedy = "write zone=server,server and separate zones by semicolons";
                let wrong = || bad("PERENNIAL_NAMESERVERS_FOR", setting, remedy);
                let (zone, servers) = setting.split_once('=').ok_or_else(wrong)?;
                let zone = DomainName::parse(zone.trim()).map_err(|_| wrong())?;
                let parse = |server: &str| server.trim().parse::<NameServer>().map_err(Error::from);
                let servers = servers.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
                builder = builder.nameservers_for(zone, servers);
            }
        }
        if let Some(iterative) = variable("PERENNIAL_ITERATIVE") {
            builder = match iterative.trim() {
                "true" => builder.iterative(),
                "false" => builder,
                other => return Err(bad("PERENNIAL_ITERATIVE", other, "use true or false")),
            };
        }
        if let Some(only) = variable("PERENNIAL_NAMESERVERS_ONLY") {
            builder = match only.trim() {
                "true" => builder.policy(Policy::RecursiveOnly),
                "false" => builder,
                other => return Err(bad("PERENNIAL_NAMESERVERS_ONLY", other, "use true or false")),
            };
        }
        if let Some(policy) = variable("PERENNIAL_POLICY") {
            let parsed = policy.parse::<Policy>();
            builder =
                builder.policy(parsed.map_err(|error| bad("PERENNIAL_POLICY", &policy, &error.to_string()))?);
        }
        let span = |name: &'static str| -> Result<Option<Duration>, Error> {
            let Some(text) = variable(name) else { return Ok(None) };
            duration::parse(&text).map(Some).ok_or_else(|| bad(name, &text, duration::REMEDY))
        };
        if let Some(grace) = span("PERENNIAL_GRACE")? {
            builder = builder.grace(grace);
        }
        if let Some(settle) = span("PERENNIAL_SETTLE")? {
            builder = builder.settle(settle);
        }
        if let Some(nat64) = variable("PERENNIAL_NAT64") {
            let parsed = nat64.parse::<Nat64>();
            builder =
                builder.nat64(parsed.map_err(|error| bad("PERENNIAL_NAT64", &nat64, &error.to_string()))?);
        }
        if let Some(servers) = variable("PERENNIAL_AUTHORITATIVE_SERVERS") {
            let parse = |server: &str| server.trim().parse::<NameServer>().map_err(Error::from);
            builder =
                builder.authoritative_servers(servers.split(',').map(parse).collect::<Result<Vec<_>, _>>()?);
        }
        if let Some(port) = variable("PERENNIAL_AUTHORITATIVE_PORT") {
            let parsed = port.trim().parse::<u16>().ok().filter(|port| *port > 0);
            builder = builder.authoritative_port(
                parsed.ok_or_else(|| bad("PERENNIAL_AUTHORITATIVE_PORT", &port, "use 1 to 65535"))?,
            );
        }
        if let Some(servers) = variable("PERENNIAL_VANTAGE_POINTS") {
            let parse = |server: &str| server.trim().parse::<NameServer>().map_err(Error::from);
            builder = builder.vantage_points(servers.split(',').map(parse).collect::<Result<Vec<_>, _>>()?);
        }
        if let Some(agreement) = variable("PERENNIAL_VANTAGE_AGREEMENT") {
            let parsed = agreement.trim().parse::<Agreement>();
            builder = builder.vantage_agreement(
                parsed.map_err(|error| bad("PERENNIAL_VANTAGE_AGREEMENT", &agreement, &error.to_string()))?,
            );
        }
        if let Some(dnssec) = variable("PERENNIAL_DNSSEC") {
            let parsed = dnssec.trim().parse::<Dnssec>();
            builder =
                builder.dnssec(parsed.map_err(|error| bad("PERENNIAL_DNSSEC", &dnssec, &error.to_string()))?);
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::locator::Means;

    fn from(pairs: &[(&str, &str)]) -> Result<CheckerBuilder, Error> {
        CheckerBuilder::from_variables(&|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_variable_sets_its_setting() {
        let builder = from(&[
            ("PERENNIAL_NAMESERVERS", "8.8.8.8, [2001:db8::1]:5353"),
            ("PERENNIAL_NAMESERVERS_ONLY", "true"),
            ("PERENNIAL_NAT64", "64:ff9b::/96"),
            ("PERENNIAL_AUTHORITATIVE_SERVERS", "192.0.2.1, [2001:db8::2]:5300"),
            ("PERENNIAL_AUTHORITATIVE_PORT", "5300"),
            ("PERENNIAL_VANTAGE_POINTS", "9.9.9.9, tls://1.1.1.1"),
            ("PERENNIAL_VANTAGE_AGREEMENT", "required"),
            ("PERENNIAL_DNSSEC", "require"),
        ])
        .unwrap();
        let demands = &builder.demands;
        assert_eq!(
            (demands.points.len(), demands.agreement, demands.dnssec),
            (2, Agreement::Required, Dnssec::Require)
        );
        assert_eq!((builder.nameservers.len(), builder.given.len()), (2, 2));
        assert_eq!((builder.policy, builder.port), (Policy::RecursiveOnly, 5300));
        assert!(matches!(builder.nat64, Nat64::Prefixes(prefixes) if prefixes.len() == 1));
        assert_eq!(from(&[]).unwrap().port, 53);
    }

    #[test]
    fn the_policy_and_its_times_are_set_and_the_newer_word_wins() {
        let builder = from(&[
            ("PERENNIAL_NAMESERVERS_ONLY", "true"),
            ("PERENNIAL_POLICY", "quorum:2"),
            ("PERENNIAL_GRACE", "1500ms"),
            ("PERENNIAL_SETTLE", "2s"),
        ])
        .unwrap();
        assert_eq!(builder.policy, Policy::Quorum(2));
        assert_eq!((builder.grace, builder.settle), (Duration::from_millis(1500), Duration::from_secs(2)));
        let builder = from(&[("PERENNIAL_NAMESERVERS_ONLY", "false")]).unwrap();
        assert_eq!(builder.policy, Policy::All);
        assert_eq!((builder.grace, builder.settle), (Duration::from_secs(5), Duration::ZERO));
    }

    #[test]
    fn resolvers_for_zones_and_the_walk_from_the_root_can_be_chosen() {
        let zones = "example.com=8.8.8.8, [2001:db8::1]:5353 ; internal.example=tls://dns.example;";
        let builder = from(&[("PERENNIAL_NAMESERVERS_FOR", zones), ("PERENNIAL_ITERATIVE", "true")]).unwrap();
        let shown: Vec<_> = builder
            .zone_nameservers
            .iter()
            .map(|(zone, servers)| format!("{zone} {}", servers.len()))
            .collect();
        assert_eq!(shown, ["example.com 2", "internal.example 1"]);
        assert_eq!(builder.means, Means::Walk);
        assert_eq!(from(&[("PERENNIAL_ITERATIVE", "false")]).unwrap().means, Means::Resolvers);
    }

    #[test]
    fn a_bad_value_is_named_with_its_variable_and_the_remedy() {
        for (variable, value, remedy) in [
            ("PERENNIAL_NAMESERVERS", "64:ff9b::8.8.8.8:53", "brackets"),
            ("PERENNIAL_NAMESERVERS_ONLY", "yes", "true or false"),
            ("PERENNIAL_NAMESERVERS_FOR", "8.8.8.8", "zone=server"),
            ("PERENNIAL_NAMESERVERS_FOR", "*..com=8.8.8.8", "zone=server"),
            ("PERENNIAL_ITERATIVE", "perhaps", "true or false"),
            ("PERENNIAL_NAT64", "maybe", "auto"),
            ("PERENNIAL_POLICY", "most", "quorum:2"),
            ("PERENNIAL_GRACE", "5", "30s"),
            ("PERENNIAL_SETTLE", "soon", "30s"),
            ("PERENNIAL_AUTHORITATIVE_SERVERS", "64:ff9b::8.8.8.8:53", "brackets"),
            ("PERENNIAL_AUTHORITATIVE_PORT", "0", "65535"),
            ("PERENNIAL_VANTAGE_POINTS", "9.9.9.9:0", "65535"),
            ("PERENNIAL_VANTAGE_AGREEMENT", "yes", "reported or required"),
            ("PERENNIAL_DNSSEC", "yes", "off, warn or require"),
        ] {
            let error = from(&[(variable, value)]).err().unwrap().to_string();
            assert!(error.contains(value) && error.contains(remedy), "{error}");
        }
    }
}
