//! Where the documents are, and how each is read.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Specification, alidns, aws, discovery, openapi, tencent};

/// A vendor whose description can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Vendor {
    /// Akamai Edge DNS, version 2.
    Akamai,
    /// Alibaba Cloud DNS, version 2015-01-09.
    AliDns,
    /// Azure DNS, version 2018-05-01.
    Azure,
    /// Cloudflare, version 4.
    Cloudflare,
    /// DigitalOcean, version 2.
    DigitalOcean,
    /// DNSimple, version 2.
    Dnsimple,
    /// GoDaddy, version 1.
    GoDaddy,
    /// Google Cloud DNS, version 1.
    GoogleCloudDns,
    /// Hetzner Cloud, version 1.
    Hetzner,
    /// Linode, version 4.
    Linode,
    /// PowerDNS Authoritative Server, version 1 of its interface.
    PowerDns,
    /// Amazon Route 53, version 2013-04-01.
    Route53,
    /// Tencent Cloud DNSPod, version 2021-03-23.
    Tencent,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Akamai,
        Self::AliDns,
        Self::Azure,
        Self::Cloudflare,
        Self::DigitalOcean,
        Self::Dnsimple,
        Self::GoDaddy,
        Self::GoogleCloudDns,
        Self::Hetzner,
        Self::Linode,
        Self::PowerDns,
        Self::Route53,
        Self::Tencent,
    ];

    /// The file or, with one file an operation, the directory in the directory of documents.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Akamai => "akamai-edgedns-v2.json",
            Self::AliDns => "alidns",
            Self::Azure => "azure-dns-2018-05-01.json",
            Self::Cloudflare => "cloudflare-dns-patched.json",
            Self::DigitalOcean => "digitalocean-dns.json",
            Self::Dnsimple => "dnsimple.yaml",
            Self::GoDaddy => "godaddy-dns.json",
            Self::GoogleCloudDns => "google-clouddns-v1-discovery.json",
            Self::Hetzner => "hetzner-dns.json",
            Self::Linode => "linode-dns.json",
            Self::PowerDns => "powerdns-auth.yaml",
            Self::Route53 => "route53-botocore-service-2.json",
            Self::Tencent => "tencent-dnspod-20210323-api.json",
        }
    }

    /// The form of the document.
    #[must_use]
    pub const fn form(self) -> Form {
        match self {
            Self::AliDns => Form::AliDns,
            Self::GoogleCloudDns => Form::Discovery,
            Self::Route53 => Form::AwsModel,
            Self::Tencent => Form::Tencent,
            Self::Akamai
            | Self::Azure
            | Self::Cloudflare
            | Self::DigitalOcean
            | Self::Dnsimple
            | Self::GoDaddy
            | Self::Hetzner
            | Self::Linode
            | Self::PowerDns => Form::OpenApi,
        }
    }
}

/// In what form a vendor describes its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// Alibaba Cloud's metadata: an array of operations with their parameters. As a directory, one file an
    /// operation.
    AliDns,
    /// The model of an AWS service as its SDK for Python has it, protocol `rest-xml`.
    AwsModel,
    /// Google's discovery document.
    Discovery,
    /// OpenAPI 3.0 or 3.1, in JSON or YAML.
    OpenApi,
    /// Tencent Cloud's list of actions and objects.
    Tencent,
}

/// Why a description cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is there, but not in its form.
    #[error("{} is not as it should be: {reason}", path.display())]
    Malformed {
        /// The file, or the name that was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not there.
    #[error(
        "missing: the vendor's document {}; set PERENNIAL_SPECS to the directory of these documents",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
}

/// The description that a test needs, or `None` when it cannot be judged here, which is said aloud, past the
/// test harness.
///
/// Unlike a program, a document that is not ours to hand on cannot be installed, so its absence fails no
/// test, unless `PERENNIAL_SPECS` promises it.
///
/// # Panics
/// When a document is there but cannot be used, or is not where `PERENNIAL_SPECS` says.
#[must_use]
pub fn require(vendor: Vendor) -> Option<Specification> {
    match open(vendor) {
        Ok(specification) => Some(specification),
        Err(error @ Error::Missing { .. }) if std::env::var_os(VARIABLE).is_none() => {
            // In one piece, beside other tests. Nothing is lost where standard error is closed.
            let _ = std::io::stderr().write_all(format!("{error}\n").as_bytes());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn open(vendor: Vendor) -> Result<Specification, Error> {
    let path = directory().join(vendor.file());
    if !path.exists() {
        return Err(Error::Missing { path });
    }
    let text = if path.is_dir() { read_directory(&path)? } else { read(&path)? };
    parse(&path, vendor.form(), &text)
}

pub(super) fn parse(path: &Path, form: Form, text: &str) -> Result<Specification, Error> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    // Every document in JSON is one in YAML too, but JSON is read far faster.
    let document: Value = if text.trim_start().starts_with(['{', '[']) {
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?
    } else {
        serde_saphyr::from_str(text).map_err(|error| malformed(error.to_string()))?
    };
    match form {
        Form::AliDns => alidns::read(&document),
        Form::AwsModel => aws::read(&document),
        Form::Discovery => discovery::read(&document),
        Form::OpenApi => openapi::read(&document),
        Form::Tencent => tencent::read(&document),
    }
    .map_err(malformed)
}

const VARIABLE: &str = "PERENNIAL_SPECS";

fn directory() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/specs");
    std::env::var_os(VARIABLE).map_or_else(beside, PathBuf::from)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// One array of the values in a directory's files.
fn read_directory(directory: &Path) -> Result<String, Error> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut values = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            values.push(read(&path)?);
        }
    }
    Ok(format!("[{}]", values.join(",")))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Unreadable { path: path.to_owned(), reason: error.to_string() }
}
