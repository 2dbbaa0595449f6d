//! Whom a certificate names, as a distinguished name (RFC 5280 §4.1.2.4).

use perennial_lifecycle::SigningRequest;
use rcgen::{DistinguishedName, DnType, DnValue};

use super::unserved;
use crate::Error;

/// The subject that a request asks for.
///
/// # Errors
/// [`Error::Unserved`] when a value has characters that its attribute cannot hold.
pub(crate) fn subject(request: &SigningRequest) -> Result<DistinguishedName, Error> {
    let mut name = DistinguishedName::new();
    for (attribute, value) in request.subject.attributes() {
        let value = if PRINTABLE.contains(&attribute) {
            let printable = value.try_into().map_err(|error: rcgen::Error| unserved(request, &error))?;
            DnValue::PrintableString(printable)
        } else {
            DnValue::Utf8String(value.to_owned())
        };
        name.push(DnType::from_oid(attribute), value);
    }
    Ok(name)
}

/// `C` and `serialNumber` are `PrintableString` (RFC 5280 appendix A.1).
const PRINTABLE: [&[u64]; 2] = [&[2, 5, 4, 6], &[2, 5, 4, 5]];
