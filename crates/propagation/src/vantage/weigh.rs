//! What the word of the rest of the world does to a verdict.

use super::{Agreement, Dnssec, Security};
use crate::{
    report::{Clue, Report},
    verdict::Verdict,
};

/// What the rest of the world makes of a verdict that was ready.
pub(crate) fn weigh(report: &mut Report, agreement: Agreement, dnssec: Dnssec) {
    let zone_bogus = report.clues.iter().any(|clue| matches!(clue, Clue::ZoneBogus { .. }));
    let words = report.vantage.iter().map(|witness| witness.security);
    let security = Security::of_all(words.chain(zone_bogus.then_some(Security::Bogus)));
    let heard = !report.vantage.is_empty() || zone_bogus || dnssec == Dnssec::Require;
    report.security = (heard && dnssec != Dnssec::Off).then_some(security);
    let sound = match (dnssec, security) {
        (Dnssec::Off, _) | (Dnssec::Require, Security::Secure | Security::Insecure) => Verdict::Ready,
        (Dnssec::Warn, Security::Bogus) => Verdict::ReadyWithWarnings,
        (Dnssec::Warn, _) => Verdict::Ready,
        (Dnssec::Require, Security::Bogus | Security::Indeterminate) => Verdict::NotYet,
    };
    let told = report.clues.iter().any(|clue| matches!(clue, Clue::ZonesUnchecked { .. }));
    if dnssec == Dnssec::Require && security == Security::Indeterminate && !told {
        report.clues.push(Clue::NobodyValidates);
    }
    let agreed = if agreement.is_met(&report.vantage) { Verdict::Ready } else { Verdict::NotYet };
    report.verdict = report.verdict.min(sound).min(agreed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Wanted,
        transport::Endpoint,
        vantage::{View, Witness},
    };
    use Verdict::{NotYet, Ready, ReadyWithWarnings as Warned};

    fn witness(view: View, security: Security) -> Witness {
        let endpoint = Endpoint::Udp(([192, 0, 2, 53], 53).into());
        let server = "192.0.2.53".to_owned();
        Witness { server, endpoint, nat64: None, view, security, extended_error: None }
    }

    fn weighed(agreement: Agreement, dnssec: Dnssec, witnesses: Vec<Witness>) -> Report {
        let wanted = Wanted::new("_acme-challenge.example.com".parse().unwrap(), ["token".to_owned()]);
        let mut report = Report::new(wanted, Ready, std::time::Duration::ZERO, vec![]);
        report.vantage = witnesses;
        weigh(&mut report, agreement, dnssec);
        report
    }

    #[test]
    fn signatures_count_as_much_as_was_asked_for() {
        use Security::{Bogus, Indeterminate, Insecure, Secure};
        for (security, warn, require) in [
            (Secure, Ready, Ready),
            (Insecure, Ready, Ready),
            (Bogus, Warned, NotYet),
            (Indeterminate, Ready, NotYet),
        ] {
            let under = |dnssec| weighed(Agreement::Reported, dnssec, vec![witness(View::Has, security)]);
            assert_eq!(under(Dnssec::Off).verdict, Ready, "{security:?}");
            assert_eq!(under(Dnssec::Off).security, None);
            assert_eq!(under(Dnssec::Warn).verdict, warn, "{security:?}");
            let required = under(Dnssec::Require);
            assert_eq!((required.verdict, required.security), (require, Some(security)));
            assert_eq!(required.clues.contains(&Clue::NobodyValidates), security == Indeterminate);
        }
        let nobody = weighed(Agreement::Reported, Dnssec::Require, vec![]);
        assert_eq!((nobody.verdict, nobody.security), (NotYet, Some(Indeterminate)));
        assert_eq!(weighed(Agreement::Reported, Dnssec::Warn, vec![]).security, None, "nobody was asked");
    }

    #[test]
    fn a_vantage_point_that_lacks_the_values_counts_only_where_it_must_agree() {
        let lacking = || vec![witness(View::Lacking { absence: None }, Security::Insecure)];
        assert_eq!(weighed(Agreement::Reported, Dnssec::Warn, lacking()).verdict, Ready);
        assert_eq!(weighed(Agreement::Required, Dnssec::Warn, lacking()).verdict, NotYet);
    }
}
