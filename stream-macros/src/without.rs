//! Attributes that need a feature of stream-runtime which is not there.

use proc_macro2::TokenStream;
use quote::quote;

/// Refuses `attribute`, and leaves the item away: what it names may not be there either.
pub(crate) fn feature(attribute: &str, feature: &str, item: TokenStream) -> TokenStream {
    let text = format!(
        "{attribute} needs the feature `{feature}` of stream-runtime: add it to the dependency's `features`"
    );
    let error = syn::Error::new_spanned(item, text).into_compile_error();
    quote!(#error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_and_the_feature_are_named() {
        let refused = feature(
            "#[page]",
            "web",
            quote!(
                async fn home() {}
            ),
        )
        .to_string();
        assert!(refused.contains("compile_error"), "{refused}");
        assert!(
            refused.contains("#[page] needs the feature `web` of stream-runtime"),
            "{refused}"
        );
    }
}
