//! Who makes a request, and what their token says of them.

use serde::{Deserialize, Serialize};

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular: no token was sent.
    Anonymous,
    /// There is no authentication: whoever reaches the service is trusted (loopback only).
    Trusted,
    /// Whom a token names.
    Known(Principal),
}

/// Whom a token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who it is: the claim `sub`, 1 to 255 bytes without control characters.
    pub subject: String,
    /// What kind of caller it is: the claim `role`.
    pub role: Role,
    /// The projects that the token names, in its order and each once: the claim `project_id`. At
    /// most [`Principal::MAX_PROJECTS`], each 1 to 255 bytes without control characters.
    pub projects: Vec<String>,
    /// What the token is good for: the claim `scope`.
    pub scope: Scope,
    /// Until when it is: the claim `exp`, in seconds since 1970.
    pub expires: i64,
}

impl Principal {
    /// The most projects that one token may name.
    pub const MAX_PROJECTS: usize = 64;
    /// The longest subject and the longest name of a project, in bytes.
    pub const MAX_NAME_BYTES: usize = 255;
}

/// What kind of caller it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and does all.
    Admin,
    /// A program that acts for its projects.
    Service,
    /// A person.
    User,
}

impl Role {
    /// As tokens and records spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Service => "service",
            Self::User => "user",
        }
    }
}

/// What a token is good for: its claim `scope` (RFC 8693 §4.2). Writing implies reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    read: bool,
    write: bool,
}

impl Scope {
    /// What a token without the claim is good for.
    pub const ALL: Self = Self {
        read: true,
        write: true,
    };

    /// Reads the claim: values with spaces between them, of which `media:read` and `media:write`
    /// mean something here.
    pub fn of(claim: &str) -> Self {
        let has = |value| claim.split(' ').any(|each| each == value);
        let write = has("media:write");
        Self {
            read: write || has("media:read"),
            write,
        }
    }

    /// Whether it is good for looking at things.
    pub fn may_read(self) -> bool {
        self.read
    }

    /// Whether it is good for changing things.
    pub fn may_write(self) -> bool {
        self.write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_gives_what_it_names_and_nothing_near_it() {
        let may = |claim| (Scope::of(claim).may_read(), Scope::of(claim).may_write());
        assert_eq!(may("media:read"), (true, false));
        assert_eq!(may("openid media:write"), (true, true));
        assert_eq!(may("media:write media:read"), (true, true));
        for none in [
            "",
            "openid",
            "media",
            "MEDIA:READ",
            "media:reader",
            "media:read,media:write",
        ] {
            assert_eq!(may(none), (false, false), "{none}");
        }
    }

    #[test]
    fn roles_are_spelled_as_in_tokens() {
        for role in [Role::Admin, Role::Service, Role::User] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }
}
