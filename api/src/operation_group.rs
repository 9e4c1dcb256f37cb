//! Groups of operations.

/// Defines a struct of operations that implements the framework's `OpenApi`.
macro_rules! operations {
    ($(#[$meta:meta])* $group:ident { $($operation:ident: $type:ty,)* }) => {
        $(#[$meta])*
        pub(crate) struct $group {
            $(pub(crate) $operation: $type,)*
        }

        impl ::poem_openapi::OpenApi for $group {
            fn meta() -> Vec<::poem_openapi::registry::MetaApi> {
                let mut meta = Vec::new();
                $(meta.extend(<$type>::meta());)*
                meta
            }

            fn register(registry: &mut ::poem_openapi::registry::Registry) {
                $(<$type>::register(registry);)*
            }

            fn add_routes(
                self,
                routes: &mut ::std::collections::HashMap<
                    String,
                    ::std::collections::HashMap<
                        ::poem::http::Method,
                        ::poem::endpoint::BoxEndpoint<'static>,
                    >,
                >,
            ) {
                $(self.$operation.add_routes(routes);)*
            }
        }
    };
}

pub(crate) use operations;
