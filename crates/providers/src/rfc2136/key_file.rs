//! Files of TSIG keys as servers' own tools write them.
//!
//! | form | written by |
//! |---|---|
//! | `key "name" { algorithm hmac-sha256; secret "…"; };` | `tsig-keygen`, `ddns-confgen`, and BIND's configuration |
//! | `key:` and a list with `id:`, `algorithm:`, `secret:` | `keymgr -t`, and Knot's configuration |
//! | `hmac-sha256:name:secret` or `name:hmac-sha256:secret` | what `nsupdate -y` and `knsupdate -y` take |

use std::path::Path;

use perennial_core::{SecretError, SecretString};

use super::{Algorithm, AlgorithmError, TsigKey, TsigKeyError, tsig::Weak};

/// More keys than anybody rotates through: each costs a message when all are refused.
const MOST_KEYS: usize = 8;

/// A whole configuration may be given, but no zone file by mistake.
const MOST_BYTES: usize = 256 * 1024;

/// The keys of a file, in their order.
pub(super) fn read(path: &Path, weak: Weak) -> Result<Vec<TsigKey>, KeyFileError> {
    let text = SecretString::text_of_file(path, MOST_BYTES as u64).map_err(KeyFileError::Unreadable)?;
    parse(text.expose(), weak)
}

/// The keys of a text in any of the forms.
pub(super) fn parse(text: &str, weak: Weak) -> Result<Vec<TsigKey>, KeyFileError> {
    if text.len() > MOST_BYTES {
        return Err(KeyFileError::TooLong);
    }
    let written = if text.contains('{') {
        of_bind(text)?
    } else if text.lines().any(|line| without_comment(line) == "key:") {
        of_knot(text)?
    } else {
        of_lines(text)?
    };
    if written.is_empty() {
        return Err(KeyFileError::NoKey);
    }
    if written.len() > MOST_KEYS {
        return Err(KeyFileError::TooMany { found: written.len() });
    }
    written.into_iter().map(|key| key.read(weak)).collect()
}

/// A key as it is written: nothing of it is checked yet. The secret is still a part of the file's text.
#[derive(Default)]
struct Written<'t> {
    name: &'t str,
    algorithm: Option<&'t str>,
    secret: Option<&'t str>,
}

impl Written<'_> {
    fn read(&self, weak: Weak) -> Result<TsigKey, KeyFileError> {
        let key = || self.name.chars().take(260).collect::<String>();
        let algorithm = match self.algorithm {
            Some(text) => {
                Algorithm::read(text, weak).map_err(|error| KeyFileError::Algorithm { key: key(), error })?
            }
            None => Algorithm::default(),
        };
        let secret = self.secret.ok_or_else(|| KeyFileError::NoSecret { key: key() })?;
        TsigKey::new(self.name, algorithm, &SecretString::new(secret))
            .map_err(|error| KeyFileError::Key { key: key(), error })
    }
}

/// BIND's configuration: its `key` statements, whatever else there is.
fn of_bind(text: &str) -> Result<Vec<Written<'_>>, KeyFileError> {
    let mut tokens = Tokens { rest: text, line: 1 };
    let mut keys = Vec::new();
    while let Some(token) = tokens.next()? {
        match token {
            Token::Word("key") => keys.extend(tokens.key()?),
            Token::Sign(';') => {}
            Token::Sign('{') => tokens.skip(1)?,
            Token::Word(_) | Token::Sign(_) => tokens.skip(0)?,
        }
    }
    Ok(keys)
}

/// A piece of BIND's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    /// One of `{`, `}`, `;`.
    Sign(char),
    Word(&'t str),
}

struct Tokens<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Tokens<'t> {
    fn next(&mut self) -> Result<Option<Token<'t>>, KeyFileError> {
        self.skip_blanks()?;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if let '{' | '}' | ';' = first {
            self.take(1);
            return Ok(Some(Token::Sign(first)));
        }
        if first == '"' {
            self.take(1);
            let end = self.rest.find(['"', '\n']).ok_or_else(|| self.expected("a closing quote"))?;
            let word = self.take(end);
            if !self.rest.starts_with('"') {
                return Err(self.expected("a closing quote"));
            }
            self.take(1);
            return Ok(Some(Token::Word(word)));
        }
        let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        Ok(Some(Token::Word(self.take(end))))
    }

    /// White space, and comments in the styles of C, C++ and the shell.
    fn skip_blanks(&mut self) -> Result<(), KeyFileError> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or_else(|| self.expected("the end of a comment"))?;
                self.take(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// To the end of a statement, this many braces deep.
    fn skip(&mut self, mut depth: usize) -> Result<(), KeyFileError> {
        while let Some(token) = self.next()? {
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => depth = depth.saturating_sub(1),
                Token::Sign(_) if depth == 0 => return Ok(()),
                Token::Sign(_) | Token::Word(_) => {}
            }
        }
        Ok(())
    }

    /// What follows the word `key`; `None` for a mere mention, `key name;`.
    fn key(&mut self) -> Result<Option<Written<'t>>, KeyFileError> {
        let Some(Token::Word(name)) = self.next()? else { return Err(self.expected("the name of a key")) };
        match self.next()? {
            Some(Token::Sign('{')) => {}
            Some(Token::Sign(';')) => return Ok(None),
            _ => return Err(self.expected("`{` after the name of a key")),
        }
        let mut key = Written { name, ..Written::default() };
        loop {
            match self.next()? {
                Some(Token::Word("algorithm")) => key.algorithm = Some(self.value()?),
                Some(Token::Word("secret")) => key.secret = Some(self.value()?),
                Some(Token::Sign('}')) => return Ok(Some(key)),
                _ => return Err(self.expected("`algorithm`, `secret` or `}` in a key")),
            }
        }
    }

    fn value(&mut self) -> Result<&'t str, KeyFileError> {
        let value = self.next()?;
        match (value, self.next()?) {
            (Some(Token::Word(value)), Some(Token::Sign(';'))) => Ok(value),
            _ => Err(self.expected("one word and `;`")),
        }
    }

    const fn expected(&self, what: &'static str) -> KeyFileError {
        KeyFileError::Expected { line: self.line, what }
    }
}

/// Knot's configuration: the list in its section `key`.
fn of_knot(text: &str) -> Result<Vec<Written<'_>>, KeyFileError> {
    let mut keys: Vec<Written<'_>> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let expected = |what| KeyFileError::Expected { line: index + 1, what };
        let content = without_comment(line);
        if content.is_empty() {
            continue;
        }
        // Items of a list may stand as far left as the section's name.
        if !line.starts_with([' ', '\t', '-']) {
            inside = content == "key:";
            continue;
        }
        if !inside {
            continue;
        }
        let field = match content.strip_prefix('-') {
            Some(field) => {
                keys.push(Written::default());
                field.trim()
            }
            None => content,
        };
        let (name, value) = field.split_once(':').ok_or_else(|| expected("`name: value`"))?;
        let value = value.trim().trim_matches('"');
        let key = keys.last_mut().ok_or_else(|| expected("`- id:`"))?;
        match name.trim() {
            "id" => key.name = value,
            "algorithm" => key.algorithm = Some(value),
            "secret" => key.secret = Some(value),
            _ => return Err(expected("`id`, `algorithm` or `secret`")),
        }
    }
    Ok(keys)
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// One key a line, its parts between colons: the algorithm is where it can be read as one.
fn of_lines(text: &str) -> Result<Vec<Written<'_>>, KeyFileError> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = without_comment(line);
        if line.is_empty() {
            continue;
        }
        let is_algorithm = |text: &str| Algorithm::read(text, Weak::Allowed).is_ok();
        let parts: Vec<&str> = line.split(':').collect();
        keys.push(match *parts {
            [algorithm, name, secret] if is_algorithm(algorithm) => {
                Written { name, algorithm: Some(algorithm), secret: Some(secret) }
            }
            [name, algorithm, secret] => Written { name, algorithm: Some(algorithm), secret: Some(secret) },
            _ => return Err(KeyFileError::Expected { line: index + 1, what: "`name:algorithm:secret`" }),
        });
    }
    Ok(keys)
}

/// Why there are no keys in a file. No secret is ever shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// An algorithm is unknown or refused.
    #[error("the key {key:?}: {error}")]
    Algorithm {
        /// The key's name.
        key: String,
        /// What is wrong with it.
        error: AlgorithmError,
    },
    /// Something else was to be expected there.
    #[error("line {line} should have {what}; write the file as tsig-keygen or keymgr -t print it")]
    Expected {
        /// The line, counted from one.
        line: usize,
        /// What should be there.
        what: &'static str,
    },
    /// A key's name or secret is none.
    #[error("the key {key:?}: {error}")]
    Key {
        /// The key's name.
        key: String,
        /// What is wrong with it.
        error: TsigKeyError,
    },
    /// Nothing there.
    #[error("there is no key; write the file as tsig-keygen or keymgr -t print it")]
    NoKey,
    /// A key has only a name.
    #[error("the key {key:?} has no secret")]
    NoSecret {
        /// The key's name.
        key: String,
    },
    /// Larger than any key file.
    #[error("it has more than {MOST_BYTES} bytes; give a file with keys only")]
    TooLong,
    /// More keys than are tried.
    #[error("it has {found} keys, {MOST_KEYS} are the most; leave those in use")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(SecretError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let keys = parse(text, Weak::Refused).unwrap_or_else(|error| panic!("{error}\n{text}"));
        keys.iter().map(ToString::to_string).collect()
    }

    fn error(text: &str) -> KeyFileError {
        parse(text, Weak::Refused).unwrap_err()
    }

    #[test]
    fn what_servers_own_tools_print_is_read() {
        // As printed by `tsig-keygen`, `keymgr -t` and `ddns-confgen`.
        let bind = "key \"acme-key\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n";
        assert_eq!(shown(bind), ["acme-key. hmac-sha512"]);
        let knot = "# hmac-sha384:acme-key:c2VjcmV0\nkey:\n  - id: acme-key\n    algorithm: hmac-sha384\n    \
                    secret: c2VjcmV0\n";
        assert_eq!(shown(knot), ["acme-key. hmac-sha384"]);
        let confgen = format!(
            "# To activate this key, place the following in named.conf\n{bind}\n# Then, in the \"zone\" {{\n\
             update-policy {{\n\t  grant acme-key zonesub ANY;\n}};\n"
        );
        assert_eq!(shown(&confgen), ["acme-key. hmac-sha512"]);
        for line in ["hmac-sha256:acme-key:c2VjcmV0", "acme-key.:HMACSHA256:c2VjcmV0  # old"] {
            assert_eq!(shown(line), ["acme-key. hmac-sha256"], "{line}");
        }
    }

    #[test]
    fn all_keys_of_a_file_are_read_in_their_order() {
        let bind = "options { directory \"/tmp\"; };\n/* new\n */ key new { secret c2VjcmV0; algorithm hmac-sha256; };
            server 192.0.2.1 { keys { new; }; }; // key none {
            view inside { recursion no; key another { secret c2VjcmV0; }; }; key new;
            key \"old\" { algorithm HMAC-SHA256; secret \"b2xk\"; };";
        assert_eq!(shown(bind), ["new. hmac-sha256", "old. hmac-sha256"]);
        let knot = "server:\n  listen: 127.0.0.1\nkey:\n- id: new\n  secret: \"c2VjcmV0\"\n\n- id: old # until May\n  \
                    secret: b2xk\nacl:\n  - id: none\n    key: new\n";
        assert_eq!(shown(knot), ["new. hmac-sha256", "old. hmac-sha256"]);
        assert_eq!(shown("new:hmac-sha256:c2VjcmV0\n\nold:hmac-sha256:b2xk\n").len(), 2);
    }

    #[test]
    fn each_mistake_is_named_with_its_line_or_key_and_no_secret() {
        for (text, part) in [
            ("", "there is no key"),
            ("options { directory \"/tmp\"; };", "there is no key"),
            ("key \"a\" { secret \"c2VjcmV0\" };", "line 1 should have one word and `;`"),
            ("key \"a\" {\n secret \"c2VjcmV0", "line 2 should have a closing quote"),
            ("key \"a\" {\n secret \"c2VjcmV0\";", "line 2 should have `algorithm`, `secret` or `}`"),
            ("key { secret \"c2VjcmV0\"; };", "line 1 should have the name of a key"),
            ("key a { algorithm hmac-sha256; };", "the key \"a\" has no secret"),
            ("key a { algorithm hmac-md5; secret \"c2VjcmV0\"; };", "the key \"a\": \"hmac-md5\" is refused"),
            ("key a { secret \"c2VjcmV\"; };", "the key \"a\": the secret is not base64"),
            ("key:\n  - id: a\n    sekret: c2VjcmV0", "line 3 should have `id`"),
            ("c2VjcmV0", "line 1 should have `name:algorithm:secret`"),
            ("a:hmac-sha3:c2VjcmV0", "the key \"a\": \"hmac-sha3\" is no TSIG algorithm"),
            (&"a:hmac-sha256:c2VjcmV0\n".repeat(9), "it has 9 keys, 8 are the most"),
            (&" ".repeat(MOST_BYTES + 1), "it has more than 262144 bytes"),
        ] {
            let shown = error(text).to_string();
            assert!(shown.contains(part), "{text}: {shown}");
            assert!(!shown.contains("c2Vj"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([a-z]{0,3}|key|secret|algorithm|[ \n\";:#{}/*-]|\\PC){0,60}") {
            let _ = parse(&text, Weak::Allowed);
        }
    }
}
