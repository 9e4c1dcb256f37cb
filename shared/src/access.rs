//! Who may see and do what: the one place where that is decided.
//!
//! | caller | sees | changes |
//! | --- | --- | --- |
//! | trusted (no authentication) | all | all |
//! | `admin` | all | all |
//! | `service` | its projects, and public media | its projects |
//! | `user` | its projects, and public media | what it made itself in its projects |
//! | anonymous | public media, one at a time | nothing |
//!
//! What one does not see is not there: it is not found, not listed, not counted and not included. What
//! one sees and may not change is refused.

use sea_orm::{ColumnTrait, Condition};

use crate::{
    caller::{Caller, Principal, Role},
    entities::media,
    media_ledger::Creator,
};

/// The projects whose things are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All, and what belongs to none.
    All,
    /// These alone.
    Projects(Vec<String>),
}

/// Of which project something is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Belonging {
    /// The request does not say.
    #[default]
    Any,
    /// Of none.
    ToNone,
    /// Of this one.
    To(String),
}

/// Which media are seen one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSight {
    /// Those of these projects.
    pub projects: Sight,
    /// Public ones of all the others, too.
    pub public: bool,
}

/// What may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Of these projects.
    pub projects: Sight,
    /// Only what this one has made, where there is one.
    maker: Option<String>,
}

/// Why something is not for a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody is asking.
    #[error("this needs a token: send `Authorization: Bearer …`")]
    Unauthenticated,
    /// The token is good for other things.
    #[error("the token's `scope` lacks `{0}`")]
    Scope(&'static str),
    /// The token names no project, and things belong to one.
    #[error("the token names no project; whoever issues it has to put `project_id` into it")]
    NoProject,
    /// The token names several projects.
    #[error("the token names several projects; say with `project_id` which one this is for")]
    WhichProject,
    /// The token does not name this project.
    #[error("the token does not name this project")]
    ForeignProject,
    /// There is no authentication, and so there are no projects.
    #[error("there are no projects where there is no authentication")]
    NoProjects,
    /// It concerns all projects.
    #[error("this is for the role `admin`")]
    NotAdmin,
    /// Somebody else has made it.
    #[error("somebody else has made it, and the role `user` changes its own things only")]
    NotOwn,
}

impl Sight {
    /// Whether what belongs to a project, or to none, is seen.
    pub fn covers(&self, project: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Projects(seen) => {
                project.is_some_and(|project| seen.iter().any(|each| each == project))
            }
        }
    }

    /// The rows that are seen, by the column that names their project.
    pub fn condition<C: ColumnTrait>(&self, project: C) -> Condition {
        match self {
            Self::All => Condition::all(),
            Self::Projects(seen) => Condition::all().add(project.is_in(seen)),
        }
    }
}

impl MediaSight {
    /// A media that is seen, without what is for its own project alone if it is seen as a public one: who
    /// put it there, and where it came from.
    pub fn shown(&self, media: media::Model) -> media::Model {
        if self.projects.covers(media.project_id.as_deref()) {
            return media;
        }
        media::Model {
            created_by: None,
            created_role: None,
            source_url: None,
            ..media
        }
    }
}

impl Belonging {
    /// Reads a project's name, empty for none; says what it must be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            Ok(Self::ToNone)
        } else if text.len() > Principal::MAX_NAME_BYTES || text.chars().any(char::is_control) {
            Err("must be at most 255 bytes without control characters")
        } else {
            Ok(Self::To(text.to_owned()))
        }
    }

    /// The rows that belong so, by the column that names their project.
    pub fn condition<C: ColumnTrait>(&self, project: C) -> Condition {
        let all = Condition::all();
        match self {
            Self::Any => all,
            Self::ToNone => all.add(project.is_null()),
            Self::To(one) => all.add(project.eq(one)),
        }
    }
}

impl Reach {
    /// Whether what `made_by` has made may be changed, if it is seen.
    pub fn allows(&self, made_by: Option<&str>) -> Result<(), Denied> {
        match &self.maker {
            Some(maker) if made_by != Some(maker) => Err(Denied::NotOwn),
            _ => Ok(()),
        }
    }
}

impl Creator {
    /// Whether it may put other bytes in the place of those that `made_by` has put there.
    pub fn may_replace(&self, made_by: Option<&str>) -> Result<(), Denied> {
        let is_user = self.created_role.as_deref() == Some(Role::User.as_str());
        if is_user && self.created_by.as_deref() != made_by {
            return Err(Denied::NotOwn);
        }
        Ok(())
    }
}

impl Caller {
    /// What it sees in lists and of jobs.
    pub fn sees(&self) -> Result<Sight, Denied> {
        match self {
            Self::Anonymous => Err(Denied::Unauthenticated),
            Self::Trusted => Ok(Sight::All),
            Self::Known(principal) if principal.scope.may_read() => Ok(principal.projects_seen()),
            Self::Known(_) => Err(Denied::Scope("media:read")),
        }
    }

    /// What it sees of single media.
    pub fn sees_media(&self) -> MediaSight {
        MediaSight {
            // A token that is not good for reading is as good as none.
            projects: self.sees().unwrap_or(Sight::Projects(Vec::new())),
            public: true,
        }
    }

    /// What it may change.
    pub fn reaches(&self) -> Result<Reach, Denied> {
        match self {
            Self::Anonymous => Err(Denied::Unauthenticated),
            Self::Trusted => Ok(Reach {
                projects: Sight::All,
                maker: None,
            }),
            Self::Known(principal) if principal.scope.may_write() => Ok(Reach {
                projects: principal.projects_seen(),
                maker: (principal.role == Role::User).then(|| principal.subject.clone()),
            }),
            Self::Known(_) => Err(Denied::Scope("media:write")),
        }
    }

    /// As whom, and for which project, it makes something.
    pub fn creates(&self, belonging: &Belonging) -> Result<Creator, Denied> {
        self.reaches()?;
        match (self, belonging) {
            (Self::Known(principal), belonging) => Ok(Creator {
                created_by: Some(principal.subject.clone()),
                created_role: Some(principal.role.as_str().to_owned()),
                project_id: principal.project_for(belonging)?,
            }),
            (_, Belonging::To(_)) => Err(Denied::NoProjects),
            _ => Ok(Creator::default()),
        }
    }

    /// Whether it may look at the figures of the whole service.
    pub fn sees_figures(&self) -> Result<(), Denied> {
        match self.sees()? {
            Sight::All => Ok(()),
            Sight::Projects(_) => Err(Denied::NotAdmin),
        }
    }
}

impl Principal {
    fn projects_seen(&self) -> Sight {
        match self.role {
            Role::Admin => Sight::All,
            Role::Service | Role::User => Sight::Projects(self.projects.clone()),
        }
    }

    /// The project that something new belongs to. Only what an admin makes may belong to none.
    fn project_for(&self, belonging: &Belonging) -> Result<Option<String>, Denied> {
        let is_admin = self.role == Role::Admin;
        match (belonging, self.projects.as_slice()) {
            (Belonging::To(asked), projects) if is_admin || projects.contains(asked) => {
                Ok(Some(asked.clone()))
            }
            (Belonging::ToNone, _) if is_admin => Ok(None),
            (Belonging::To(_) | Belonging::ToNone, _) => Err(Denied::ForeignProject),
            (Belonging::Any, [only]) => Ok(Some(only.clone())),
            (Belonging::Any, _) if is_admin => Ok(None),
            (Belonging::Any, []) => Err(Denied::NoProject),
            (Belonging::Any, _) => Err(Denied::WhichProject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Scope;

    fn known(role: Role, projects: &[&str], scope: Scope) -> Caller {
        Caller::Known(Principal {
            subject: "me".to_owned(),
            role,
            projects: projects.iter().map(|&project| project.to_owned()).collect(),
            scope,
            expires: i64::MAX,
        })
    }

    #[test]
    fn each_sees_its_own_projects_and_admins_all() {
        let of_a = Sight::Projects(vec!["a".to_owned()]);
        for role in [Role::Service, Role::User] {
            assert_eq!(known(role, &["a"], Scope::ALL).sees(), Ok(of_a.clone()));
        }
        assert!(of_a.covers(Some("a")) && !of_a.covers(Some("b")) && !of_a.covers(None));
        let admin = known(Role::Admin, &["a"], Scope::ALL).sees().unwrap();
        assert!(admin.covers(Some("b")) && admin.covers(None));
        assert_eq!(Caller::Trusted.sees(), Ok(Sight::All));
        assert_eq!(Caller::Anonymous.sees(), Err(Denied::Unauthenticated));
        let nowhere = known(Role::User, &[], Scope::ALL).sees().unwrap();
        assert!(!nowhere.covers(Some("a")) && !nowhere.covers(None));
    }

    #[test]
    fn users_change_their_own_things_and_services_those_of_their_projects() {
        let reach = |role| known(role, &["a"], Scope::ALL).reaches().unwrap();
        assert!(reach(Role::User).allows(Some("me")).is_ok());
        assert_eq!(reach(Role::User).allows(Some("you")), Err(Denied::NotOwn));
        assert_eq!(reach(Role::User).allows(None), Err(Denied::NotOwn));
        assert!(reach(Role::Service).allows(Some("you")).is_ok());
        assert!(Caller::Trusted.reaches().unwrap().allows(None).is_ok());
        assert_eq!(Caller::Anonymous.reaches(), Err(Denied::Unauthenticated));
    }

    #[test]
    fn a_scope_takes_away() {
        let may = |claim| {
            let caller = known(Role::Admin, &["a"], Scope::of(claim));
            (caller.sees().is_ok(), caller.reaches().is_ok())
        };
        assert_eq!(may("media:read"), (true, false));
        assert_eq!(may("media:write"), (true, true));
        assert_eq!(may("other"), (false, false));
        let reader = known(Role::Service, &["a"], Scope::of("other"));
        assert_eq!(reader.sees_media(), Caller::Anonymous.sees_media());
    }

    #[test]
    fn what_is_made_belongs_to_a_project_of_the_token() {
        let belonging = |asked| match asked {
            Some(asked) => Belonging::parse(asked).unwrap(),
            None => Belonging::Any,
        };
        let made = |role, projects: &[&str], asked| {
            let made = known(role, projects, Scope::ALL).creates(&belonging(asked));
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
        let trusted = |asked| Caller::Trusted.creates(&belonging(asked));
        assert_eq!(trusted(None), Ok(Creator::default()));
        assert_eq!(trusted(Some("a")), Err(Denied::NoProjects));
    }

    #[test]
    fn a_user_replaces_its_own_bytes_alone() {
        let creator = |role| {
            known(role, &["a"], Scope::ALL)
                .creates(&Belonging::Any)
                .unwrap()
        };
        assert!(creator(Role::User).may_replace(Some("me")).is_ok());
        assert!(creator(Role::User).may_replace(Some("you")).is_err());
        assert!(creator(Role::User).may_replace(None).is_err());
        assert!(creator(Role::Service).may_replace(Some("you")).is_ok());
        assert!(Creator::default().may_replace(Some("you")).is_ok());
    }
}
