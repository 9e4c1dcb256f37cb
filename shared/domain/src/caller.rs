//! The caller of a request, and the creator of a record.

use serde::{Deserialize, Serialize};

use crate::{denied::Denied, name_rules::MAX_NAME_BYTES};

/// The caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The request has no token.
    Anonymous,
    /// The service has no authentication: every caller may do everything (loopback only).
    Unrestricted,
    /// The request has a valid token.
    Authenticated(Principal),
}

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The claim `sub`: a name, as [`crate::name_rules::check`] takes it.
    pub subject: String,
    /// The claim `role`.
    pub role: Role,
    /// The claim `project_id`: the projects in the token's order, each once. At most [`Principal::MAX_PROJECTS`]
    /// names.
    pub projects: Vec<String>,
    /// The claim `scope`.
    pub scope: Scope,
    /// The claim `exp`: the end of the token, in seconds since 1970.
    pub expires: i64,
}

impl Principal {
    /// The most projects that one token may name.
    pub const MAX_PROJECTS: usize = 64;
    /// The longest subject and the longest name of a project, in bytes.
    pub const MAX_NAME_BYTES: usize = MAX_NAME_BYTES;
}

/// The role of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(
    feature = "database",
    derive(sea_orm::EnumIter, sea_orm::DeriveActiveEnum)
)]
#[cfg_attr(feature = "database", sea_orm(rs_type = "String", db_type = "Text"))]
pub enum Role {
    /// Reads and changes everything.
    #[cfg_attr(feature = "database", sea_orm(string_value = "admin"))]
    Admin,
    /// A program that acts for its projects.
    #[cfg_attr(feature = "database", sea_orm(string_value = "service"))]
    Service,
    /// A person.
    #[cfg_attr(feature = "database", sea_orm(string_value = "user"))]
    User,
}

impl Role {
    /// The spelling in tokens and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Service => "service",
            Self::User => "user",
        }
    }
}

/// The creator of a job or media, by the caller's token. All fields are empty without authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creator {
    /// The subject of the token.
    pub created_by: Option<String>,
    /// The role in which it was created.
    pub created_role: Option<Role>,
    /// The project that it belongs to.
    pub project_id: Option<String>,
}

impl Creator {
    /// Whether this creator may replace the bytes that `made_by` has stored.
    pub fn may_replace(&self, made_by: Option<&str>) -> Result<(), Denied> {
        if self.created_role == Some(Role::User) && self.created_by.as_deref() != made_by {
            return Err(Denied::NotOwn);
        }
        Ok(())
    }
}

/// The permissions of a token: its claim `scope` (RFC 8693 §4.2). Writing implies reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    read: bool,
    write: bool,
}

impl Scope {
    /// The permissions of a token without the claim.
    pub const ALL: Self = Self {
        read: true,
        write: true,
    };

    /// Reads the claim: values separated by spaces, of which `media:read` and `media:write` are used.
    pub fn from_claim(claim: &str) -> Self {
        let has = |value| claim.split(' ').any(|each| each == value);
        let write = has("media:write");
        Self {
            read: write || has("media:read"),
            write,
        }
    }

    /// Whether the token may read.
    pub fn may_read(self) -> bool {
        self.read
    }

    /// Whether the token may write.
    pub fn may_write(self) -> bool {
        self.write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_gives_what_it_names_and_nothing_near_it() {
        let may = |claim| {
            (
                Scope::from_claim(claim).may_read(),
                Scope::from_claim(claim).may_write(),
            )
        };
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
