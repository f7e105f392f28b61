//! What a struct says of its table: attributes and fields, read and checked.
//!
//! Contract: what comes out is a table type that can be written down without further questions; what cannot be one is an error
//! at the token that is wrong. All errors of a struct come out together.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Field, Fields, GenericArgument, Ident, LitInt, LitStr, PathArguments,
    Type, Visibility,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    Ordered,
    Sack,
    ClientHash,
}

pub(crate) struct TableShape<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) kind: Kind,
    pub(crate) volatile: bool,
    pub(crate) name: String,
    pub(crate) pairs: u64,
    pub(crate) compact_slots: bool,
    pub(crate) key: Vec<KeyShape<'a>>,
    pub(crate) record: Vec<FieldShape<'a>>,
}

pub(crate) struct KeyShape<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) field_type: &'a Type,
}

pub(crate) struct FieldShape<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) visibility: &'a Visibility,
    pub(crate) field_type: &'a Type,
    pub(crate) default: Missing,
    pub(crate) codec: Codec<'a>,
    /// A pointer that must not be null.
    pub(crate) required: bool,
    /// The least and the most that a number may be.
    pub(crate) range: Option<(TokenStream, TokenStream)>,
}

/// What a field is in records that lack it.
pub(crate) enum Missing {
    Refused,
    TypeDefault,
    Value(Box<Expr>),
}

/// How a field is written.
pub(crate) enum Codec<'a> {
    Serde,
    Bytes,
    Pointer { to: &'a Type, table: Option<LitStr> },
}

/// Most fields that a key or record may have; `domains::schema::limits` has the sums.
const KEY_FIELDS_MAX: usize = 4;
const RECORD_FIELDS_MAX: usize = 1024;

impl<'a> TableShape<'a> {
    pub(crate) fn read(input: &'a DeriveInput) -> Result<Self, Error> {
        if !input.generics.params.is_empty() {
            return Err(Error::new(
                input.generics.span(),
                "a table type has no parameters: its bytes must be the same everywhere",
            ));
        }
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.ident.span(), "a table type is a struct; put an enum into one of its fields"));
        };
        let Fields::Named(fields) = &data.fields else {
            return Err(Error::new(
                input.ident.span(),
                "a table type has named fields: the catalog stores their names",
            ));
        };
        let mut shape = Self {
            ident: &input.ident,
            kind: Kind::Hash,
            volatile: false,
            name: snake_case(&input.ident.to_string()),
            pairs: 0,
            compact_slots: false,
            key: Vec::new(),
            record: Vec::new(),
        };
        shape.read_table(&input.attrs)?;
        let mut errors = Errors::default();
        for field in &fields.named {
            errors.take(shape.read_field(field));
        }
        // The whole is judged only when its fields are sound, lest one mistake be told twice.
        errors.finish()?;
        shape.check(input)?;
        Ok(shape)
    }

    fn read_table(&mut self, attributes: &[Attribute]) -> Result<(), Error> {
        let mut kind_said = false;
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("table")) {
            attribute.parse_nested_meta(|meta| {
                let kind = [
                    ("hash", Kind::Hash),
                    ("ordered", Kind::Ordered),
                    ("sack", Kind::Sack),
                    ("client_hash", Kind::ClientHash),
                ];
                if let Some((_, kind)) = kind.iter().find(|(word, _)| meta.path.is_ident(word)) {
                    if kind_said {
                        return Err(meta.error("a table is one of hash, ordered, sack and client_hash"));
                    }
                    kind_said = true;
                    self.kind = *kind;
                } else if meta.path.is_ident("volatile") {
                    self.volatile = true;
                } else if meta.path.is_ident("name") {
                    let name: LitStr = meta.value()?.parse()?;
                    if name.value().is_empty() || name.value().len() > 255 {
                        return Err(Error::new(name.span(), "a table's name has 1 to 255 bytes"));
                    }
                    self.name = name.value();
                } else if meta.path.is_ident("pairs") {
                    self.pairs = meta.value()?.parse::<LitInt>()?.base10_parse()?;
                } else if meta.path.is_ident("compact_slots") {
                    self.compact_slots = true;
                } else {
                    let words =
                        "hash, ordered, sack, client_hash, compact_slots, volatile, name = \"...\" or pairs = N";
                    return Err(meta.error(format!("expected {words}")));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn read_field(&mut self, field: &'a Field) -> Result<(), Error> {
        let ident = field.ident.as_ref().expect("the fields are named");
        let find = |word| field.attrs.iter().find(|attribute| attribute.path().is_ident(word));
        let default = read_default(find("default"))?;
        let pointer = find("pointer");
        if let Some(key) = find("key") {
            key.meta.require_path_only()?;
            if !self.record.is_empty() {
                return Err(Error::new(ident.span(), "key fields come first: move this above the record's fields"));
            }
            if !matches!(default, Missing::Refused) {
                return Err(Error::new(ident.span(), "a key has all its fields: no #[default] here"));
            }
            if let Some(rule) = find("required").or_else(|| find("range")) {
                return Err(Error::new(rule.span(), "rules are for the record's fields, not for the key's"));
            }
            if let Some(pointer) = pointer {
                return Err(Error::new(pointer.span(), "a pointer stands in the record, not in the key"));
            }
            if let Some((to, _)) = only_parameter(&field.ty, "Ptr") {
                return Err(Error::new(
                    to.span(),
                    "a pointer stands in the record: in the key, use the target's key type",
                ));
            }
            self.key.push(KeyShape { ident, field_type: &field.ty });
            return Ok(());
        }
        let codec = read_codec(field, pointer)?;
        let required = read_required(find("required"), &codec, &default)?;
        let range = read_range(find("range"), &field.ty)?;
        let visibility = &field.vis;
        let found = FieldShape { ident, visibility, field_type: &field.ty, default, codec, required, range };
        let appended = self.record.last().is_some_and(FieldShape::has_default);
        let refused = appended && !found.has_default();
        self.record.push(found);
        if refused {
            let message = "the field before this one has a #[default], so it was appended; what stands behind it was appended \
                           later and needs a #[default] too";
            return Err(Error::new(ident.span(), message));
        }
        Ok(())
    }

    fn check(&self, input: &DeriveInput) -> Result<(), Error> {
        let at = input.ident.span();
        if self.compact_slots && matches!(self.kind, Kind::Ordered | Kind::Sack) {
            return Err(Error::new(at, "compact_slots are of hash tables: of hash and client_hash"));
        }
        match (self.kind, self.key.len()) {
            (Kind::Sack, 0) => {}
            (Kind::Sack, _) => {
                return Err(Error::new(self.key[0].ident.span(), "a sack gives its records addresses: no #[key] here"));
            }
            (Kind::ClientHash, fields) if fields != 1 => {
                let message = "the key of a client_hash table is one field, a u32 or u64 that you hashed";
                return Err(Error::new(self.key.get(1).map_or(at, |second| second.ident.span()), message));
            }
            (Kind::ClientHash, _) => {}
            (Kind::Hash | Kind::Ordered, 0) => {
                return Err(Error::new(at, "no field is the key: write #[key] on the first ones, or #[table(sack)]"));
            }
            (Kind::Hash | Kind::Ordered, fields) if fields > KEY_FIELDS_MAX => {
                return Err(Error::new(at, "a key has at most 4 fields"));
            }
            (Kind::Hash | Kind::Ordered, _) => {}
        }
        if self.record.len() > RECORD_FIELDS_MAX {
            return Err(Error::new(at, "a record has at most 1024 fields"));
        }
        Ok(())
    }
}

impl FieldShape<'_> {
    fn has_default(&self) -> bool {
        !matches!(self.default, Missing::Refused)
    }
}

fn read_default(attribute: Option<&Attribute>) -> Result<Missing, Error> {
    let Some(attribute) = attribute else { return Ok(Missing::Refused) };
    match &attribute.meta {
        syn::Meta::Path(_) => Ok(Missing::TypeDefault),
        syn::Meta::List(_) => Ok(Missing::Value(Box::new(attribute.parse_args()?))),
        syn::Meta::NameValue(_) => Err(Error::new(attribute.span(), "write #[default] or #[default(expression)]")),
    }
}

fn read_required(attribute: Option<&Attribute>, codec: &Codec<'_>, default: &Missing) -> Result<bool, Error> {
    let Some(attribute) = attribute else { return Ok(false) };
    attribute.meta.require_path_only()?;
    if !matches!(codec, Codec::Pointer { .. }) {
        return Err(Error::new(
            attribute.span(),
            "only a field of type Ptr<T> can be null, so only it can be required",
        ));
    }
    if matches!(default, Missing::TypeDefault) {
        return Err(Error::new(attribute.span(), "the default of a pointer is null, which #[required] forbids"));
    }
    Ok(true)
}

/// The two ends of `#[range(least..=most)]`.
fn read_range(attribute: Option<&Attribute>, of: &Type) -> Result<Option<(TokenStream, TokenStream)>, Error> {
    const INTEGERS: [&str; 10] = ["u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128"];
    let Some(attribute) = attribute else { return Ok(None) };
    let is_integer = matches!(of, Type::Path(path) if INTEGERS.iter().any(|name| path.path.is_ident(name)));
    if !is_integer {
        return Err(Error::new(attribute.span(), "only a field of an integer type, u8 to i128, has a range"));
    }
    let wrong = || Error::new(attribute.span(), "write #[range(least..=most)]; both ends are in it");
    let tokens: Vec<TokenTree> = attribute.meta.require_list()?.tokens.clone().into_iter().collect();
    let is = |at: usize, sign| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let middle = (0..tokens.len()).find(|at| is(*at, '.') && is(at + 1, '.') && is(at + 2, '=')).ok_or_else(wrong)?;
    let (least, most) = (&tokens[..middle], &tokens[middle + 3..]);
    if least.is_empty() || most.is_empty() {
        return Err(wrong());
    }
    Ok(Some((least.iter().cloned().collect(), most.iter().cloned().collect())))
}

fn read_codec<'a>(field: &'a Field, pointer: Option<&Attribute>) -> Result<Codec<'a>, Error> {
    let table = pointer.map(Attribute::parse_args::<LitStr>).transpose()?;
    if let Some((_, to)) = only_parameter(&field.ty, "Ptr") {
        return Ok(Codec::Pointer { to, table });
    }
    if let Some(pointer) = pointer {
        return Err(Error::new(pointer.span(), "only a field of type Ptr<T> is a pointer"));
    }
    match only_parameter(&field.ty, "Vec") {
        Some((_, Type::Path(of))) if of.path.is_ident("u8") => Ok(Codec::Bytes),
        _ => Ok(Codec::Serde),
    }
}

/// Of a type `Name<P>`, by whatever path it is written: the name and `P`.
fn only_parameter<'a>(field_type: &'a Type, name: &str) -> Option<(&'a Ident, &'a Type)> {
    let Type::Path(path) = field_type else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match (arguments.args.len(), arguments.args.first()) {
        (1, Some(GenericArgument::Type(of))) => Some((&last.ident, of)),
        _ => None,
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// Errors gathered, so that one build shows all of them.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn take(&mut self, outcome: Result<(), Error>) {
        let Err(error) = outcome else { return };
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn finish(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
