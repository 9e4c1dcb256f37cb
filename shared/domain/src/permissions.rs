//! Permissions: which callers may read and change which jobs and media. No other code decides that.
//!
//! | caller | reads | changes |
//! | --- | --- | --- |
//! | unrestricted (no authentication) | everything | everything |
//! | `admin` | everything | everything |
//! | `service` | its projects, and public media | its projects |
//! | `user` | its projects, and public media | its own jobs and media in its projects |
//! | anonymous | public media, one at a time | nothing |
//!
//! Records that the caller may not read are answered with 404, and left out of lists, counts and `included`. Records
//! that the caller may read but not change are answered with 403.

pub use crate::denied::Denied;
use crate::{
    caller::{Caller, Creator, Principal, Role},
    name_rules::{self, NameError},
};

/// The projects whose records a caller may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadScope {
    /// All projects, and records without a project.
    All,
    /// These projects.
    Projects(Vec<String>),
}

/// The project that a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProjectSelector {
    /// The request names none.
    #[default]
    Any,
    /// Records without a project.
    Unassigned,
    /// This project.
    Project(String),
}

/// The media that a caller may read one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaReadScope {
    /// The media of these projects.
    pub projects: ReadScope,
    /// Public media of all other projects, too.
    pub public: bool,
}

/// The records that a caller may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteScope {
    /// The records of these projects.
    pub projects: ReadScope,
    /// If set, only records of this creator.
    creator: Option<String>,
}

impl ReadScope {
    /// Whether records of a project, or of none, may be read.
    pub fn covers(&self, project: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Projects(readable) => {
                project.is_some_and(|project| readable.iter().any(|each| each == project))
            }
        }
    }
}

impl ProjectSelector {
    /// Reads a project's name; an empty text selects records without a project.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Ok(Self::Unassigned);
        }
        name_rules::check(text).map(|()| Self::Project(text.to_owned()))
    }
}

impl WriteScope {
    /// Whether a record made by `made_by` may be changed, if it may be read.
    pub fn allows(&self, made_by: Option<&str>) -> Result<(), Denied> {
        match &self.creator {
            Some(creator) if made_by != Some(creator) => Err(Denied::NotOwn),
            _ => Ok(()),
        }
    }
}

impl Caller {
    /// The jobs and listed media that the caller may read.
    pub fn read_scope(&self) -> Result<ReadScope, Denied> {
        match self {
            Self::Anonymous => Err(Denied::Unauthenticated),
            Self::Unrestricted => Ok(ReadScope::All),
            Self::Authenticated(principal) if principal.scope.may_read() => {
                Ok(principal.read_scope())
            }
            Self::Authenticated(_) => Err(Denied::Scope("media:read")),
        }
    }

    /// The media that the caller may read one at a time.
    pub fn media_read_scope(&self) -> MediaReadScope {
        MediaReadScope {
            // A token without the scope for reading counts as none.
            projects: self.read_scope().unwrap_or(ReadScope::Projects(Vec::new())),
            public: true,
        }
    }

    /// The records that the caller may change.
    pub fn write_scope(&self) -> Result<WriteScope, Denied> {
        match self {
            Self::Anonymous => Err(Denied::Unauthenticated),
            Self::Unrestricted => Ok(WriteScope {
                projects: ReadScope::All,
                creator: None,
            }),
            Self::Authenticated(principal) if principal.scope.may_write() => Ok(WriteScope {
                projects: principal.read_scope(),
                creator: (principal.role == Role::User).then(|| principal.subject.clone()),
            }),
            Self::Authenticated(_) => Err(Denied::Scope("media:write")),
        }
    }

    /// The creator that new records of the caller get, in the project that the request asks for.
    pub fn creator_for(&self, selector: &ProjectSelector) -> Result<Creator, Denied> {
        self.write_scope()?;
        match (self, selector) {
            (Self::Authenticated(principal), selector) => Ok(Creator {
                created_by: Some(principal.subject.clone()),
                created_role: Some(principal.role),
                project_id: principal.project_for(selector)?,
            }),
            (_, ProjectSelector::Project(_)) => Err(Denied::NoProjects),
            _ => Ok(Creator::default()),
        }
    }

    /// Whether the caller may name one of several projects for a new record.
    pub fn may_choose_project(&self) -> bool {
        match self {
            Self::Authenticated(principal) => {
                principal.role == Role::Admin || principal.projects.len() > 1
            }
            _ => false,
        }
    }

    /// Whether the caller may read the metrics of the whole service.
    pub fn check_may_read_metrics(&self) -> Result<(), Denied> {
        match self.read_scope()? {
            ReadScope::All => Ok(()),
            ReadScope::Projects(_) => Err(Denied::NotAdmin),
        }
    }
}

impl Principal {
    fn read_scope(&self) -> ReadScope {
        match self.role {
            Role::Admin => ReadScope::All,
            Role::Service | Role::User => ReadScope::Projects(self.projects.clone()),
        }
    }

    /// The project of a new record. Only an admin may create records without one.
    fn project_for(&self, selector: &ProjectSelector) -> Result<Option<String>, Denied> {
        let is_admin = self.role == Role::Admin;
        match (selector, self.projects.as_slice()) {
            (ProjectSelector::Project(asked), projects) if is_admin || projects.contains(asked) => {
                Ok(Some(asked.clone()))
            }
            (ProjectSelector::Unassigned, _) if is_admin => Ok(None),
            (ProjectSelector::Project(_) | ProjectSelector::Unassigned, _) => {
                Err(Denied::ForeignProject)
            }
            (ProjectSelector::Any, [only]) => Ok(Some(only.clone())),
            (ProjectSelector::Any, _) if is_admin => Ok(None),
            (ProjectSelector::Any, []) => Err(Denied::NoProject),
            (ProjectSelector::Any, _) => Err(Denied::WhichProject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;

    fn known(role: Role, projects: &[&str], scope: Scope) -> Caller {
        Caller::Authenticated(Principal {
            subject: "me".to_owned(),
            role,
            projects: projects.iter().map(|&project| project.to_owned()).collect(),
            scope,
            expires: i64::MAX,
        })
    }

    #[test]
    fn each_sees_its_own_projects_and_admins_all() {
        let of_a = ReadScope::Projects(vec!["a".to_owned()]);
        for role in [Role::Service, Role::User] {
            assert_eq!(
                known(role, &["a"], Scope::ALL).read_scope(),
                Ok(of_a.clone())
            );
        }
        assert!(of_a.covers(Some("a")) && !of_a.covers(Some("b")) && !of_a.covers(None));
        let admin = known(Role::Admin, &["a"], Scope::ALL).read_scope().unwrap();
        assert!(admin.covers(Some("b")) && admin.covers(None));
        assert_eq!(Caller::Unrestricted.read_scope(), Ok(ReadScope::All));
        assert_eq!(Caller::Anonymous.read_scope(), Err(Denied::Unauthenticated));
        let nowhere = known(Role::User, &[], Scope::ALL).read_scope().unwrap();
        assert!(!nowhere.covers(Some("a")) && !nowhere.covers(None));
    }

    #[test]
    fn users_change_their_own_things_and_services_those_of_their_projects() {
        let reach = |role| known(role, &["a"], Scope::ALL).write_scope().unwrap();
        assert!(reach(Role::User).allows(Some("me")).is_ok());
        assert_eq!(reach(Role::User).allows(Some("you")), Err(Denied::NotOwn));
        assert_eq!(reach(Role::User).allows(None), Err(Denied::NotOwn));
        assert!(reach(Role::Service).allows(Some("you")).is_ok());
        assert!(
            Caller::Unrestricted
                .write_scope()
                .unwrap()
                .allows(None)
                .is_ok()
        );
        assert_eq!(
            Caller::Anonymous.write_scope(),
            Err(Denied::Unauthenticated)
        );
    }

    #[test]
    fn a_scope_takes_away() {
        let may = |claim| {
            let caller = known(Role::Admin, &["a"], Scope::from_claim(claim));
            (caller.read_scope().is_ok(), caller.write_scope().is_ok())
        };
        assert_eq!(may("media:read"), (true, false));
        assert_eq!(may("media:write"), (true, true));
        assert_eq!(may("other"), (false, false));
        let reader = known(Role::Service, &["a"], Scope::from_claim("other"));
        assert_eq!(
            reader.media_read_scope(),
            Caller::Anonymous.media_read_scope()
        );
    }

    #[test]
    fn what_is_made_belongs_to_a_project_of_the_token() {
        let belonging = |asked| match asked {
            Some(asked) => ProjectSelector::new(asked).unwrap(),
            None => ProjectSelector::Any,
        };
        let made = |role, projects: &[&str], asked| {
            let made = known(role, projects, Scope::ALL).creator_for(&belonging(asked));
            made.map(|creator| creator.project_id)
        };
        let a = || Ok(Some("a".to_owned()));
        for role in [Role::Service, Role::User] {
            assert_eq!(made(role, &["a"], None), a());
            assert_eq!(made(role, &["b", "a"], Some("a")), a());
            assert_eq!(made(role, &["a", "b"], None), Err(Denied::WhichProject));
            assert_eq!(made(role, &["a"], Some("b")), Err(Denied::ForeignProject));
            assert_eq!(made(role, &["a"], Some("")), Err(Denied::ForeignProject));
            assert_eq!(made(role, &[], None), Err(Denied::NoProject));
        }
        assert_eq!(made(Role::Admin, &[], None), Ok(None));
        assert_eq!(made(Role::Admin, &["a"], None), a());
        assert_eq!(made(Role::Admin, &["a"], Some("")), Ok(None));
        assert_eq!(made(Role::Admin, &[], Some("a")), a());
        let trusted = |asked| Caller::Unrestricted.creator_for(&belonging(asked));
        assert_eq!(trusted(None), Ok(Creator::default()));
        assert_eq!(trusted(Some("a")), Err(Denied::NoProjects));
    }

    #[test]
    fn a_user_replaces_its_own_bytes_alone() {
        let creator = |role| {
            known(role, &["a"], Scope::ALL)
                .creator_for(&ProjectSelector::Any)
                .unwrap()
        };
        assert!(creator(Role::User).may_replace(Some("me")).is_ok());
        assert!(creator(Role::User).may_replace(Some("you")).is_err());
        assert!(creator(Role::User).may_replace(None).is_err());
        assert!(creator(Role::Service).may_replace(Some("you")).is_ok());
        assert!(Creator::default().may_replace(Some("you")).is_ok());
    }
}
