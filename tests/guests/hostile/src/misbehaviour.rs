//! What the hostile plugin can be told to do. The harness compiles this file too, so that a test
//! matches on it without a `_` and can't forget a case.
//!
//! `n` is the number in the configuration. "Guilty" rows are those whose text equals `where` in the
//! configuration, or all rows if there is no `where`; a batch with none is left as it is.

use serde::{Deserialize, Serialize};

/// An enum whose names in the configuration are in kebab case, and a list of all its variants.
macro_rules! misbehaviours {
    ($(#[$about:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What it does, as it says in the source.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

/// Any misbehaviour that the configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Misbehaviour {
    Deed(Deed),
    BadPlan(BadPlan),
    Answer(Answer),
}

impl Misbehaviour {
    pub fn all() -> impl Iterator<Item = Self> {
        let deeds = Deed::ALL.iter().copied().map(Self::Deed);
        let plans = BadPlan::ALL.iter().copied().map(Self::BadPlan);
        let answers = Answer::ALL.iter().copied().map(Self::Answer);
        deeds.chain(plans).chain(answers)
    }

    pub const fn about(self) -> &'static str {
        match self {
            Self::Deed(deed) => deed.about(),
            Self::BadPlan(plan) => plan.about(),
            Self::Answer(answer) => answer.about(),
        }
    }
}

impl From<Deed> for Misbehaviour {
    fn from(deed: Deed) -> Self {
        Self::Deed(deed)
    }
}

impl From<BadPlan> for Misbehaviour {
    fn from(plan: BadPlan) -> Self {
        Self::BadPlan(plan)
    }
}

impl From<Answer> for Misbehaviour {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

misbehaviours! {
    /// Done during a call: in `clean`, or with `"in": "configure"` there.
    Deed {
        /// Nothing: a plugin that behaves.
        Nothing,
        /// Executes `unreachable`.
        Trap,
        /// Panics with `hostile: told to panic`; the panic hook logs it at level error.
        Panic,
        /// Recurses until no stack is left.
        StackOverflow,
        /// Reads past the end of its memory.
        OutOfBounds,
        /// Divides an integer by zero, without Rust's own check.
        DivideByZero,
        /// Never returns.
        LoopForever,
        /// Spins `n` times (10,000) for each guilty row, then cleans normally.
        Slow,
        /// Allocates and touches memory until it gets no more, which ends in `unreachable`.
        AllocateForever,
        /// Touches `n` MiB (16), gives them back, then cleans normally.
        Allocate,
        /// Keeps `n` KiB (1,024) more with each call, so that only a later one fails.
        Leak,
        /// Logs `n` lines (1,000,000), then cleans normally.
        LogFlood,
        /// Logs one line of `n` KiB (1,024) of three-byte characters, then cleans normally.
        LogLong,
        /// Logs a line with a terminal's escape codes, line breaks and a NUL, then cleans normally.
        LogControlCharacters,
        /// Logs 2,000 lines, then `hostile: last words` at level error, then traps.
        LogThenTrap,
        /// Answers with the error `hostile: told to fail`; in `configure`, with a finding.
        Fail,
        /// Answers with an empty error.
        FailEmpty,
        /// Answers with an error of `n` KiB (1,024) of three-byte characters.
        FailLong,
        /// Answers with an error that holds a terminal's escape codes, line breaks and a NUL.
        FailControlCharacters,
        /// Traps in each call after the first `n` (3) guilty ones of this instance.
        TrapAfterCalls,
        /// Traps once this instance has seen more than `n` (3) guilty rows.
        TrapAfterRows,
        /// Traps in a batch of more than `n` rows (1) with a guilty one: no row is guilty alone.
        TrapTogether,
        /// Traps in a batch of at most `n` rows (1) with a guilty one: larger ones pass.
        TrapAlone,
    }
}

misbehaviours! {
    /// An answer of `configure` that the contract forbids. `where` means nothing here.
    BadPlan {
        /// No plan and no finding.
        FindingsNone,
        /// One finding at `/do`, with help. This is allowed.
        FindingsOne,
        /// A finding whose pointer leads nowhere: `/no/such/0`.
        FindingsPointerNowhere,
        /// A finding whose pointer is none: `do`.
        FindingsPointerMalformed,
        /// A finding whose message and help have `n` KiB (1,024) of three-byte characters.
        FindingsLong,
        /// `n` findings (100,000).
        FindingsMany,
        /// A finding with a terminal's escape codes, line breaks and a NUL.
        FindingsControlCharacters,
        /// Reads `no_such_column`.
        ReadsUnknown,
        /// Reads `text` twice.
        ReadsTwice,
        /// Reads a column with an empty name.
        ReadsNameless,
        /// Writes `text` twice.
        WritesTwice,
        /// Writes a column with an empty name.
        WritesNameless,
        /// Writes a column whose name has a line break.
        WritesControlCharacters,
        /// Writes a column whose name has 1 KiB.
        WritesLongName,
        /// Writes `n` columns (100,000).
        WritesMany,
        /// Has 65 tallies.
        TalliesMany,
        /// Has the same tally twice.
        TalliesTwice,
        /// Has a tally with an empty name.
        TalliesNameless,
        /// Has a tally whose name has a terminal's escape code.
        TalliesControlCharacters,
        /// Has a tally whose name has 1 KiB.
        TalliesLongName,
    }
}

misbehaviours! {
    /// An answer of `clean`. Names that start with `fine-` are allowed, however odd; all others are
    /// forbidden, or name a row that the host has to reject.
    Answer {
        /// No change, where one column is written.
        ChangesTooFew,
        /// Two changes, where one column is written.
        ChangesTooMany,
        /// An integer column in the place of `text`, as which it was announced.
        ReplacedKindWrong,
        /// A text column in the place of a text-list.
        ReplacedTextForList,

        /// `unchanged` for a new column.
        UnreadUnchanged,
        /// `nulls` for a new column.
        UnreadNulls,
        /// `patched` for a new column.
        UnreadPatched,
        /// `unchanged` for a column that was read as text and is written as integer.
        OtherKindUnchanged,
        /// `nulls` for such a column.
        OtherKindNulls,
        /// `patched`, with integers, for such a column.
        OtherKindPatched,

        /// One byte of bits too few.
        NullsTooShort,
        /// One byte of bits too many.
        NullsTooLong,
        /// Turns guilty nulls into values (`where` must be left out); all others stay null.
        NullsRevive,

        /// The rows of a patch descend; a single row is out of range.
        PatchedDescending,
        /// A patch names its first row twice.
        PatchedRepeated,
        /// A patch names a row past the last.
        PatchedOutOfRange,
        /// A patch names the row 4,294,967,295.
        PatchedRowMax,
        /// A patch has one value more than rows.
        PatchedTooMany,
        /// A patch has one value fewer than rows.
        PatchedTooFew,
        /// A patch has integers for a text.
        PatchedKindWrong,
        /// A patch has no byte of bits for its rows.
        PatchedValidTooShort,
        /// A patch has bytes that are not UTF-8.
        PatchedNotUtf8,

        /// Slices start one byte after their end.
        SlicesStartAfterEnd,
        /// Slices end one byte past their row's value, so in the next one's.
        SlicesPastEnd,
        /// Slices lie at 4,294,967,295.
        SlicesFar,
        /// Slices start inside of a character. Needs a text that has one of several bytes.
        SlicesMidCharacter,
        /// One slice too few.
        SlicesTooFew,
        /// One slice too many.
        SlicesTooMany,
        /// One end fewer than starts.
        SlicesEndsShort,
        /// Slices of the column 7, of which there is none.
        SlicesColumnOutOfRange,
        /// Slices of the integer column `n`, which must exist.
        SlicesColumnKindWrong,
        /// Slices for a column that was announced as integer.
        SlicesIntoInteger,
        /// Slices with too few bits.
        SlicesValidTooShort,
        /// Slices that turn guilty nulls into values (`where` must be left out).
        SlicesRevive,

        /// Pieces start one byte after their end.
        ListSlicesStartAfterEnd,
        /// Pieces end one byte past their row's value.
        ListSlicesPastEnd,
        /// Pieces start inside of a character. Needs a text that has one of several bytes.
        ListSlicesMidCharacter,
        /// One end fewer than starts.
        ListSlicesEndsShort,
        /// Pieces of the column 7, of which there is none.
        ListSlicesColumnOutOfRange,
        /// Pieces of the integer column `n`, which must exist.
        ListSlicesColumnKindWrong,
        /// Pieces for a column that was announced as text.
        ListSlicesIntoText,
        /// No offset at all.
        ListSlicesOffsetsNone,
        /// One offset too few.
        ListSlicesOffsetsTooFew,
        /// Offsets that descend.
        ListSlicesOffsetsDescending,
        /// Offsets that start at 1.
        ListSlicesOffsetsNotFromZero,
        /// Offsets that end before the pieces do.
        ListSlicesOffsetsBeforeEnd,
        /// Offsets that end past the pieces.
        ListSlicesOffsetsPastEnd,
        /// Pieces with too few bits.
        ListSlicesValidTooShort,
        /// Each guilty row is `n` (1,000,000) pieces, all of them its whole value: a small answer that
        /// becomes a large column. Nothing but the limit on output forbids it, so the text has to be
        /// long enough: 100 bytes for the default limit.
        ListSlicesAmplified,

        /// One text too few.
        ReplacedTooFew,
        /// One text too many.
        ReplacedTooMany,
        /// No offset at all.
        ReplacedOffsetsNone,
        /// Offsets that descend.
        ReplacedOffsetsDescending,
        /// Offsets that start at 1.
        ReplacedOffsetsNotFromZero,
        /// Offsets that end before the bytes do.
        ReplacedOffsetsBeforeEnd,
        /// Offsets that end past the bytes.
        ReplacedOffsetsPastEnd,
        /// Bytes that are not UTF-8.
        ReplacedNotUtf8,
        /// Bytes that are not UTF-8, in the place of a null.
        ReplacedNotUtf8UnderNull,
        /// Bytes that are UTF-8 as a whole and cut inside of a character. A single row is cut short.
        ReplacedMidCharacter,
        /// One byte of bits too few.
        ReplacedValidTooShort,
        /// One byte of bits too many.
        ReplacedValidTooLong,
        /// Texts of `n` MiB (32) in all.
        ReplacedLarge,

        /// Booleans without a byte for the last rows.
        BooleanTooShort,
        /// One integer too few.
        IntegerTooFew,
        /// One integer too many.
        IntegerTooMany,
        /// One float too few.
        FloatTooFew,
        /// Guilty rows are not a number: the host rejects those rows.
        FloatNan,
        /// Guilty rows are infinite: the host rejects those rows.
        FloatInfinite,
        /// One timestamp too few.
        TimestampTooFew,
        /// Guilty rows are the last microsecond of the year 0: the host rejects those rows.
        TimestampYearZero,
        /// Guilty rows are the first microsecond of the year 10000: the host rejects those rows.
        TimestampYear10000,
        /// Guilty rows are the least 64-bit number: the host rejects those rows.
        TimestampLeast,
        /// Lists of texts whose offsets descend.
        TextListOffsetsDescending,
        /// Lists of texts whose offsets end past the items.
        TextListOffsetsPastEnd,
        /// Lists of texts whose items' offsets descend.
        TextListItemOffsetsDescending,
        /// Lists of texts whose items' offsets end past the bytes.
        TextListItemOffsetsPastEnd,
        /// Lists of texts whose items' bytes are not UTF-8.
        TextListItemNotUtf8,
        /// Lists of texts whose items are cut inside of a character.
        TextListItemMidCharacter,
        /// Lists of floats whose offsets end past the items.
        FloatListOffsetsPastEnd,
        /// The lists of guilty rows hold an infinite item: the host rejects those rows.
        FloatListInfinite,

        /// Drops a row past the last.
        DroppedOutOfRange,
        /// Drops rows in descending order; a single row is out of range.
        DroppedDescending,
        /// Drops a row twice.
        DroppedRepeated,
        /// Drops and rejects the same rows.
        DroppedAndRejected,
        /// Rejects a row past the last.
        RejectedOutOfRange,
        /// Rejects rows in descending order; a single row is out of range.
        RejectedDescending,
        /// Rejects a row twice.
        RejectedRepeated,
        /// Rejects with an empty reason.
        RejectedReasonEmpty,
        /// `n` rejections (500,000), so most of rows that don't exist.
        RejectedMany,
        /// No tally, where there is one.
        TalliesTooFew,
        /// One tally too many.
        TalliesTooMany,
        /// A tally of one more than there are rows.
        TalliesTooLarge,
        /// Drops the guilty rows and tallies one row more than are kept.
        TalliesOverKept,

        /// Every second call answers null for guilty rows, the others leave them: each answer is
        /// allowed, but what becomes of a row depends on what the instance saw before.
        CallsDiffer,
        /// Guilty rows become how many rows the batch has: depends on how batches are cut.
        CutsDiffer,

        /// Guilty rows become null; all bits past the last row are set.
        FineStrayBits,
        /// Not a number, in the place of nulls.
        FineNanUnderNull,
        /// A time outside of all years, in the place of nulls.
        FineTimestampUnderNull,
        /// Not a number, in guilty rows that are dropped.
        FineNanInDropped,
        /// A patch of no rows.
        FinePatchEmpty,
        /// A patch that makes guilty rows null.
        FinePatchNull,
        /// Slices of guilty rows are empty, at 0; a null's too.
        FineSlicesEmpty,
        /// Each guilty row is twice its whole value.
        FinePiecesOverlap,
        /// Drops the guilty rows.
        FineDropped,
        /// Rejects the guilty rows: `hostile: told to reject`, with the text as detail.
        FineRejected,
        /// Rejects the guilty rows, with reason and detail of `n` KiB (100) of three-byte characters.
        FineRejectedLong,
        /// Rejects the guilty rows, each for a reason of its own: `hostile: row 3`.
        FineRejectedReasons,
        /// Rejects the guilty rows with a terminal's escape codes, line breaks and a NUL.
        FineRejectedControlCharacters,
    }
}

misbehaviours! {
    /// What is wrong with `describe`. It has no configuration, so the harness makes a component for
    /// each.
    Describing {
        /// Nothing.
        Honest,
        /// Executes `unreachable`.
        Trap,
        /// Never returns.
        LoopForever,
        /// An empty name.
        NameEmpty,
        /// A name of 1 MiB.
        NameLong,
        /// A name with a line break.
        NameControlCharacters,
        /// A schema that is not JSON.
        SchemaNotJson,
        /// A schema that is an array.
        SchemaArray,
        /// A schema that is `false`, so that nothing fits it.
        SchemaFalse,
        /// A schema whose `type` is a number: JSON, but no schema.
        SchemaInvalid,
        /// A schema of 16 MiB, nearly all of it spaces.
        SchemaLong,
        /// A schema nested 100,000 deep.
        SchemaDeep,
    }
}
