//! Whose delivered files are, and who may read them.

use std::path::Path;

use perennial_core::Retry;

use crate::{SinkError, StoreError, durable::Disk};

/// Whose delivered files are and who may read them, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) private_mode: Option<u32>,
    pub(super) public_mode: Option<u32>,
    pub(super) directory_mode: Option<u32>,
}

/// The same in the numbers of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    owner: Option<u32>,
    group: Option<u32>,
    private_mode: u32,
    public_mode: u32,
    directory_mode: u32,
    /// Whether directories that are there already are changed, too: only where something was asked for.
    changes_directories: bool,
}

impl Access {
    /// Looks up the names: now, for an account may have been made since the program began.
    ///
    /// # Errors
    /// [`SinkError`] that names an account that this machine has not.
    pub(super) fn resolved(&self) -> Result<Resolved, SinkError> {
        let owner = self.owner.as_deref().map(|name| number(name, "user", accounts::user)).transpose()?;
        let group = self.group.as_deref().map(|name| number(name, "group", accounts::group)).transpose()?;
        let (private, directory) = if group.is_some() { (0o640, 0o750) } else { (0o600, 0o700) };
        Ok(Resolved {
            owner,
            group,
            private_mode: self.private_mode.unwrap_or(private),
            public_mode: self.public_mode.unwrap_or(0o644),
            directory_mode: self.directory_mode.unwrap_or(directory),
            changes_directories: owner.is_some() || group.is_some() || self.directory_mode.is_some(),
        })
    }
}

impl Resolved {
    /// Gives a file its owner and mode, before anybody looks for it there.
    pub(super) fn apply_to_file(&self, disk: &Disk, path: &Path, is_private: bool) -> Result<(), StoreError> {
        let mode = if is_private { self.private_mode } else { self.public_mode };
        disk.give(path, (self.owner, self.group), mode)
    }

    pub(super) fn apply_to_directory(&self, disk: &Disk, path: &Path) -> Result<(), StoreError> {
        if !self.changes_directories {
            return Ok(());
        }
        disk.give(path, (self.owner, self.group), self.directory_mode)
    }
}

/// A number as it is, or that of a name.
fn number(
    name: &str,
    what: &str,
    find: impl FnOnce(&str) -> Result<Option<u32>, String>,
) -> Result<u32, SinkError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match find(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => {
            let message = format!("this machine has no {what} {name:?}: make it, or name another");
            Err(SinkError::new(message, Retry::Backoff))
        }
        Err(reason) => {
            Err(SinkError::new(format!("{what} {name:?} cannot be looked up: {reason}"), Retry::Backoff))
        }
    }
}

/// As the machine's own name service has them, which may be a directory server.
#[cfg(unix)]
mod accounts {
    use nix::unistd::{Group, User};

    pub(super) fn user(name: &str) -> Result<Option<u32>, String> {
        let found = User::from_name(name).map_err(|error| error.to_string())?;
        Ok(found.map(|user| user.uid.as_raw()))
    }

    pub(super) fn group(name: &str) -> Result<Option<u32>, String> {
        let found = Group::from_name(name).map_err(|error| error.to_string())?;
        Ok(found.map(|group| group.gid.as_raw()))
    }
}

#[cfg(not(unix))]
mod accounts {
    pub(super) fn user(_: &str) -> Result<Option<u32>, String> {
        Err("files have owners on Unix alone".to_owned())
    }

    pub(super) use user as group;
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_go_by_name_or_number_and_a_group_may_read_what_it_was_given() {
        let named =
            Access { owner: Some("root".to_owned()), group: Some("4711".to_owned()), ..Access::default() };
        let resolved = named.resolved().unwrap();
        assert_eq!((resolved.owner, resolved.group), (Some(0), Some(4711)));
        assert_eq!((resolved.private_mode, resolved.directory_mode), (0o640, 0o750));
        let plain = Access::default().resolved().unwrap();
        assert_eq!((plain.private_mode, plain.public_mode, plain.directory_mode), (0o600, 0o644, 0o700));
        let nobody = Access { owner: Some("no-such-user".to_owned()), ..Access::default() };
        let error = nobody.resolved().unwrap_err();
        assert_eq!(error.message, "this machine has no user \"no-such-user\": make it, or name another");
    }
}
