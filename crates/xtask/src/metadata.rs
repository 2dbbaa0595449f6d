//! What `cargo metadata` says about the workspace, as far as checks ask.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, shell};

/// The workspace and, unless it was read [without](Metadata::read_members), all packages that it depends on.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) target_directory: PathBuf,
    pub(crate) resolve: Option<Resolve>,
}

/// One package and what its manifest says.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The registries that it may go to; `None` is all of them.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
}

/// What a dependency is needed for, unless it is needed by everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Build,
    Dev,
}

/// Something that cargo builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// Who really depends on whom, features considered.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeDependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NodeDependency {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DependencyKind {
    pub(crate) kind: Option<Kind>,
}

impl Metadata {
    /// The whole graph, with all features of all members.
    pub(crate) fn read() -> Result<Self, Error> {
        let text = shell::read(shell::cargo(["metadata", "--format-version", "1", "--all-features"]))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The members alone: quick.
    pub(crate) fn read_members() -> Result<Self, Error> {
        let text = shell::read(shell::cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The names of all targets of one kind: `bench`, `example`.
    pub(crate) fn targets(&self, kind: &str) -> Vec<&str> {
        let targets = self.members().flat_map(|package| &package.targets);
        targets
            .filter(|target| target.kind.iter().any(|own| own == kind))
            .map(|target| target.name.as_str())
            .collect()
    }
}

impl Package {
    /// Whether users ever see it.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}
