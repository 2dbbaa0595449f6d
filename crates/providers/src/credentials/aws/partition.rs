//! The parts of AWS that know nothing of each other.
//!
//! Source: botocore's `partitions.json` and the endpoint rules of its model of Route 53.

/// A part of AWS with its own accounts, regions and services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// What its host names end in.
    pub(crate) suffix: &'static str,
    /// Where its Route 53 answers, which is a global service.
    pub(crate) route53: &'static str,
    /// The region that signs for its Route 53.
    pub(crate) route53_region: &'static str,
}

impl Partition {
    /// The one that a region is in.
    pub(crate) fn of(region: &str) -> Self {
        let found = OTHERS.iter().find(|(prefix, _)| region.starts_with(prefix));
        found.map_or(AWS, |(_, partition)| *partition)
    }

    /// Where the Security Token Service of a region answers.
    pub(crate) fn sts(region: &str) -> String {
        format!("https://sts.{region}.{}", Self::of(region).suffix)
    }
}

const AWS: Partition = Partition {
    suffix: "amazonaws.com",
    route53: "https://route53.amazonaws.com",
    route53_region: "us-east-1",
};

const CHINA: Partition = Partition {
    suffix: "amazonaws.com.cn",
    route53: "https://route53.amazonaws.com.cn",
    route53_region: "cn-northwest-1",
};

const EUROPE: Partition = Partition {
    suffix: "amazonaws.eu",
    route53: "https://route53.amazonaws.eu",
    route53_region: "eusc-de-east-1",
};

const US_GOVERNMENT: Partition = Partition {
    suffix: "amazonaws.com",
    route53: "https://route53.us-gov.amazonaws.com",
    route53_region: "us-gov-west-1",
};

const OTHERS: [(&str, Partition); 3] = [("cn-", CHINA), ("eusc-", EUROPE), ("us-gov-", US_GOVERNMENT)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_leads_to_the_services_of_its_partition() {
        for (region, route53, signs, sts) in [
            (
                "eu-central-1",
                "https://route53.amazonaws.com",
                "us-east-1",
                "https://sts.eu-central-1.amazonaws.com",
            ),
            (
                "cn-north-1",
                "https://route53.amazonaws.com.cn",
                "cn-northwest-1",
                "https://sts.cn-north-1.amazonaws.com.cn",
            ),
            (
                "eusc-de-east-1",
                "https://route53.amazonaws.eu",
                "eusc-de-east-1",
                "https://sts.eusc-de-east-1.amazonaws.eu",
            ),
            (
                "us-gov-east-1",
                "https://route53.us-gov.amazonaws.com",
                "us-gov-west-1",
                "https://sts.us-gov-east-1.amazonaws.com",
            ),
        ] {
            let partition = Partition::of(region);
            assert_eq!((partition.route53, partition.route53_region), (route53, signs));
            assert_eq!(Partition::sts(region), sts);
        }
    }
}
