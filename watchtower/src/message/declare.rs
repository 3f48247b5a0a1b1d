//! One declaration makes a message's struct, its codec, its number, and the enum over all of them.
//!
//! The same idea as `wire`'s own macro, which knows the messages of the BOLTs only.

/// Declares the messages and the enum `Message`; see `table.rs`.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $number:literal $name:ident {
            $( $(#[$fdoc:meta])* $field:ident : $kind:ty, )*
        } $( + tlvs { $( $(#[$tdoc:meta])* $tlv:literal => $opt:ident : $tkind:ty, )* } )?
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Eq, PartialEq)]
            pub struct $name {
                $( $(#[$fdoc])* pub $field: $kind, )*
                $( $( $(#[$tdoc])* pub $opt: Option<$tkind>, )* )?
            }

            impl $name {
                /// The type number, odd if an unknowing peer may ignore the message.
                pub const NUMBER: u16 = $number;
            }

            impl Encode for $name {
                #[allow(unused_variables, reason = "some have no fields")]
                fn encode(&self, out: &mut Vec<u8>) {
                    $( Encode::encode(&self.$field, out); )*
                    $( $( tlv::put(out, $tlv, self.$opt.as_ref()); )* )?
                }
            }

            impl Decode for $name {
                #[allow(unused_variables, clippy::match_single_binding, reason = "some have no records")]
                fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                    $( let $field = <$kind as Decode>::decode(r)?; )*
                    $( $( let mut $opt = None; )* )?
                    tlv::each(r, |kind, value| match kind {
                        $( $( $tlv => {
                            $opt = Some(<$tkind as Record>::take(value)?);
                            Ok(true)
                        } )* )?
                        _ => Ok(false),
                    })?;
                    Ok(Self { $( $field, )* $( $( $opt, )* )? })
                }
            }

            impl From<$name> for Message {
                fn from(body: $name) -> Self {
                    Self::$name(body)
                }
            }
        )*

        /// Any message of ours.
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[allow(missing_docs, reason = "each variant is its struct")]
        pub enum Message { $( $name($name), )* }

        impl Message {
            /// The type number that goes before the body.
            pub const fn number(&self) -> u16 {
                match self { $( Self::$name(_) => $name::NUMBER, )* }
            }

            /// The name, for logs.
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$name(_) => stringify!($name), )* }
            }

            fn encode_body(&self, out: &mut Vec<u8>) {
                match self { $( Self::$name(body) => body.encode(out), )* }
            }

            fn decode_body(number: u16, r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
                Ok(Some(match number {
                    $( $number => Self::$name(Decode::decode(r)?), )*
                    odd if odd % 2 == 1 => return Ok(None),
                    even => return Err(DecodeError::UnknownEvenType(even)),
                }))
            }
        }
    };
}
pub(super) use messages;
