//! A description as text.

use std::fmt;

use super::{Description, RequestDescription, RequestState, ServingDescription};
use crate::{
    AuthorizationRecord, ChallengeRecord, ChallengeState, Condition, OfferedChallenge, OrderRecord,
    OrderState,
};

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "Name", &self.certificate)?;
        line(f, "Names", &self.names.join(", "))?;
        line(f, "Issuer", &self.issuer)?;
        line(f, "Generation", &self.spec_generation)?;
        conditions(f, [("Ready", &self.conditions.ready), ("Issuing", &self.conditions.issuing)])?;
        if let Some(it) = &self.serving {
            serving(f, it)?;
        }
        if let Some(it) = &self.request {
            request(f, it)?;
        }
        if let Some(it) = &self.order {
            order(f, it)?;
        }
        for (issuer, failures) in &self.failures {
            writeln!(f, "Failures:")?;
            line(f, "  Issuer", issuer)?;
            line(f, "  Count", &failures.count)?;
            line(f, "  Last", &failures.last_at)?;
            line(f, "  Next Attempt", &failures.retry_at)?;
            line(f, "  Message", &failures.message)?;
        }
        for (sink, failures) in &self.reloads {
            writeln!(f, "Not Taken Up:")?;
            line(f, "  Sink", sink)?;
            if let Some(failures) = failures {
                line(f, "  Next Call", &failures.retry_at)?;
                line(f, "  Message", &failures.message)?;
            }
        }
        if self.debts > 0 {
            line(f, "To Be Removed", &self.debts)?;
        }
        writeln!(f, "Events:")?;
        writeln!(f, "  {:<8} {:<18} {:<20} Message", "Type", "Reason", "Time")?;
        for event in &self.events {
            let (severity, reason) = (event.kind.severity(), event.kind.reason());
            writeln!(f, "  {severity:<8} {reason:<18} {} {}", event.at, event.kind)?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, key: &str, value: &dyn fmt::Display) -> fmt::Result {
    writeln!(f, "{:<16} {value}", format_args!("{key}:").to_string())
}

fn conditions(f: &mut fmt::Formatter<'_>, conditions: [(&str, &Condition); 2]) -> fmt::Result {
    writeln!(f, "Conditions:")?;
    writeln!(f, "  {:<8} {:<8} {:<16} {:<20} Message", "Type", "Status", "Reason", "Since")?;
    for (kind, condition) in conditions {
        let Condition { status, reason, message, last_transition_time, .. } = condition;
        writeln!(f, "  {kind:<8} {status:<8} {reason:<16} {last_transition_time} {message}")?;
    }
    Ok(())
}

fn serving(f: &mut fmt::Formatter<'_>, serving: &ServingDescription) -> fmt::Result {
    writeln!(f, "Status:")?;
    line(f, "  Revision", &serving.revision.number())?;
    line(f, "  Not Before", &serving.not_before)?;
    line(f, "  Not After", &serving.not_after)?;
    line(f, "  Renewal Time", &serving.renewal_time)?;
    line(f, "  Serial", &serving.serial)?;
    line(f, "  Signed By", &serving.signed_by)
}

fn request(f: &mut fmt::Formatter<'_>, request: &RequestDescription) -> fmt::Result {
    writeln!(f, "Request:")?;
    line(f, "  Revision", &request.revision.number())?;
    line(f, "  Issuer", &request.issuer)?;
    line(f, "  Key", &request.key_algorithm)?;
    if let Some(created_at) = &request.created_at {
        line(f, "  Created", created_at)?;
    }
    if let Some(requester) = &request.requester {
        line(f, "  Requester", requester)?;
    }
    if let Some(approved_by) = &request.approved_by {
        line(f, "  Approved By", approved_by)?;
    }
    line(
        f,
        "  State",
        &match request.state {
            RequestState::Denied => "Denied",
            RequestState::Failed => "Failed",
            RequestState::Issued => "Issued",
            RequestState::Pending => "Pending",
        },
    )
}

fn order(f: &mut fmt::Formatter<'_>, order: &OrderRecord) -> fmt::Result {
    writeln!(f, "Order:")?;
    line(f, "  URL", &order.url)?;
    line(
        f,
        "  State",
        &match order.state {
            OrderState::Pending => "pending",
            OrderState::Ready => "ready",
            OrderState::Processing => "processing",
            OrderState::Valid => "valid",
            OrderState::Invalid => "invalid",
        },
    )?;
    if let Some(reason) = &order.reason {
        line(f, "  Reason", reason)?;
    }
    if let Some(url) = &order.finalize_url {
        line(f, "  Finalize", url)?;
    }
    if let Some(url) = &order.certificate_url {
        line(f, "  Certificate", url)?;
    }
    for authorization in &order.authorizations {
        self::authorization(f, authorization)?;
    }
    for challenge in &order.challenges {
        self::challenge(f, challenge)?;
    }
    Ok(())
}

fn authorization(f: &mut fmt::Formatter<'_>, authorization: &AuthorizationRecord) -> fmt::Result {
    writeln!(f, "  Authorization:")?;
    line(f, "    Identifier", &authorization.identifier)?;
    line(f, "    Wildcard", &authorization.wildcard)?;
    line(f, "    URL", &authorization.url)?;
    line(f, "    Initial", &authorization.initial_state)?;
    for OfferedChallenge { kind, url } in &authorization.offered {
        line(f, "    Offered", &format_args!("{kind} {url}"))?;
    }
    Ok(())
}

fn challenge(f: &mut fmt::Formatter<'_>, challenge: &ChallengeRecord) -> fmt::Result {
    writeln!(f, "  Challenge:")?;
    line(f, "    Name", &challenge.name)?;
    line(f, "    Type", &challenge.kind)?;
    line(f, "    URL", &challenge.url)?;
    line(
        f,
        "    State",
        &match challenge.state {
            ChallengeState::Pending => "pending",
            ChallengeState::Processing => "processing",
            ChallengeState::Valid => "valid",
            ChallengeState::Invalid => "invalid",
        },
    )?;
    if let Some(at) = &challenge.at {
        line(f, "    At", at)?;
    }
    line(f, "    Presented", &challenge.presented)?;
    match &challenge.reason {
        Some(reason) => line(f, "    Reason", reason),
        None => Ok(()),
    }
}
