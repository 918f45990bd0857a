//! Posts.

use std::fmt::Write as _;

use fastrand::Rng;

use super::json::Object;
use super::words::{
    ADJECTIVES, BRANDS, CATEGORIES, Category, FIRST_NAMES, LAST_NAMES, ODD_POSTERS, ODD_SENTENCES,
    ODD_TITLES, SENTENCES, TAG_LINES, TAILS,
};
use super::{Wire, one_in, pick};

/// Where the scraper cuts a description.
const DESCRIPTION_CHARS: usize = 178;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Index,
    UniqueId,
    Title,
    Description,
    PosterName,
    FollowerCount,
    TagList,
    Kind,
    ImageSrc,
    Downloaded,
    SaveLocation,
    Category,
}

use Field::{
    Category as CategoryField, Description, Downloaded, FollowerCount, ImageSrc, Index, Kind,
    PosterName, SaveLocation, TagList, Title, UniqueId,
};

const AS_STORED: [Field; 12] = [
    Index,
    UniqueId,
    Title,
    Description,
    PosterName,
    FollowerCount,
    TagList,
    Kind,
    ImageSrc,
    Downloaded,
    SaveLocation,
    CategoryField,
];

const SORTED: [Field; 12] = [
    CategoryField,
    Description,
    Downloaded,
    FollowerCount,
    ImageSrc,
    Index,
    Kind,
    PosterName,
    SaveLocation,
    TagList,
    Title,
    UniqueId,
];

/// One post; the memory is used for one after the other.
#[derive(Debug, Default)]
pub(super) struct Pin {
    category: &'static str,
    unique_id: String,
    title: String,
    description: String,
    poster_name: String,
    follower_count: String,
    tag_list: String,
    kind: &'static str,
    image_src: String,
    is_downloaded: bool,
    save_location: String,
}

impl Pin {
    pub(super) fn write(&mut self, key: u64, mut content: Rng, wire: &mut Wire, out: &mut Vec<u8>) {
        self.draw(&mut content);
        if wire.is_later_edition {
            self.edit(&mut wire.rng);
        }
        // Posts of the first generation had no poster, and some readers drop what they don't need.
        let without_poster = one_in(&mut wire.rng, 33);
        let without_downloaded = one_in(&mut wire.rng, 50);
        let mut object = Object::new(out, wire.form);
        for field in if wire.form.is_sorted { SORTED } else { AS_STORED } {
            match field {
                Index => object.key(wire.key_name(true), key),
                UniqueId => object.text("unique_id", &self.unique_id),
                Title => object.text("title", &self.title),
                Description => object.text("description", &self.description),
                PosterName if without_poster => {}
                PosterName => object.text("poster_name", &self.poster_name),
                FollowerCount => object.text("follower_count", &self.follower_count),
                TagList | Downloaded | SaveLocation | CategoryField if wire.is_incomplete => {}
                TagList => object.text("tag_list", &self.tag_list),
                Kind => object.text("is_image_or_video", self.kind),
                ImageSrc if wire.is_misnamed => object.absent("img_src"),
                ImageSrc => object.text("image_src", &self.image_src),
                Downloaded if without_downloaded => {}
                Downloaded => object.integer("downloaded", self.is_downloaded.into()),
                SaveLocation => object.text("save_location", &self.save_location),
                CategoryField => object.text("category", self.category),
            }
        }
        object.finish();
    }

    /// What comes of the random numbers is the post, for ever.
    fn draw(&mut self, rng: &mut Rng) {
        let category = pick(rng, CATEGORIES);
        self.category = category.name;
        self.save_location.clear();
        self.save_location.push_str("Local save in /data/");
        self.save_location.push_str(category.name);
        self.unique_id.clear();
        unique_id(rng, &mut self.unique_id);
        self.draw_texts(category, rng);
        self.draw_image(rng);
        self.draw_tags(category, rng);
        self.follower_count.clear();
        followers(rng, &mut self.follower_count);
        // The scraper writes all of these when it meets a page without its user.
        if one_in(rng, 150) {
            set(&mut self.title, "No Title Data Available");
            set(&mut self.poster_name, "User Info Error");
            set(&mut self.follower_count, "User Info Error");
            set(&mut self.tag_list, NO_TAGS);
        }
    }

    fn draw_texts(&mut self, category: Category, rng: &mut Rng) {
        let poster = &mut self.poster_name;
        poster.clear();
        match rng.u32(0..100) {
            0..3 => poster.push_str(pick(rng, ODD_POSTERS)),
            3..40 => push_all(poster, &[pick(rng, FIRST_NAMES), " ", pick(rng, LAST_NAMES)]),
            40..70 => poster.push_str(pick(rng, BRANDS)),
            _ => push_all(poster, &[pick(rng, BRANDS), pick(rng, TAG_LINES)]),
        }
        if one_in(rng, 56) {
            poster.push(' ');
        }

        let subject = pick(rng, category.subjects);
        let (adjective, tail) = (pick(rng, ADJECTIVES), pick(rng, TAILS));
        let title = &mut self.title;
        title.clear();
        match rng.u32(0..1000) {
            0..80 => title.push_str(pick(rng, ODD_TITLES)),
            80..82 => {}
            82..84 => title.push_str("Untitled"),
            84..150 => push_all(title, &[subject, "  ", tail]),
            150..220 => push_all(title, &[subject, " | ", poster]),
            220..400 => push_all(title, &[adjective, " ", subject]),
            number => {
                let number = NUMBERS[number as usize % NUMBERS.len()];
                push_all(title, &[number, " ", adjective, " ", subject, " ", tail]);
            }
        }

        let description = &mut self.description;
        description.clear();
        match rng.u32(0..1000) {
            0..16 => description.push_str("No description available"),
            16..18 => description.push_str("Untitled"),
            18..400 => {
                push_all(description, &[adjective, " ", subject, " ", tail, ". "]);
                while description.len() < DESCRIPTION_CHARS + 2 {
                    description.push_str(sentence(rng));
                    description.push(' ');
                }
                // A character for a byte is near enough.
                description.truncate(description.floor_char_boundary(DESCRIPTION_CHARS));
                description.push_str("…\u{a0}");
            }
            _ => push_all(description, &[subject, ": ", sentence(rng)]),
        }
    }

    fn draw_image(&mut self, rng: &mut Rng) {
        let source = &mut self.image_src;
        source.clear();
        self.is_downloaded = true;
        let mut memory = [0; 32];
        let name = hex(rng.u128(..), &mut memory);
        let mut path = |folder: &str, ending: &str| {
            let [a, b, c] = [0, 2, 4].map(|from| &name[from..from + 2]);
            let pieces = ["https://i.pinimg.com/", folder, a, "/", b, "/", c, "/", name, ending];
            push_all(source, &pieces);
        };
        match rng.u32(0..1000) {
            0..21 => {
                self.kind = STORY;
                self.is_downloaded = false;
                set(source, "Image src error.");
            }
            21..68 => {
                self.kind = STORY;
                path("videos/thumbnails/originals/", ".0000001.jpg");
            }
            68..99 => {
                self.kind = "video";
                path("videos/thumbnails/originals/", ".0000001.jpg");
            }
            form => {
                self.kind = "image";
                path("originals/", ENDINGS[form as usize % ENDINGS.len()]);
            }
        }
        if self.kind == STORY {
            set(&mut self.description, "No description available Story format");
        }
    }

    fn draw_tags(&mut self, category: Category, rng: &mut Rng) {
        const TAGS: usize = 9;
        let tags = &mut self.tag_list;
        tags.clear();
        if one_in(rng, 170) {
            tags.push_str(NO_TAGS);
            return;
        }
        // A step that has no divisor in common with their number meets no tag twice.
        let all = category.tags;
        let (first, step) = (rng.usize(0..all.len()), pick(rng, &[1, 3, 5, 9, 11, 13]));
        for tag in 0..TAGS {
            if tag > 0 {
                tags.push(',');
            }
            tags.push_str(all[(first + tag * step) % all.len()]);
        }
    }

    /// The same post as it was scraped later.
    fn edit(&mut self, rng: &mut Rng) {
        if self.follower_count != "User Info Error" {
            self.follower_count.clear();
            followers(rng, &mut self.follower_count);
        }
        if self.description.ends_with('\u{a0}') {
            self.description.pop();
        }
    }
}

const NO_TAGS: &str = "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e";
const STORY: &str = "multi-video(story page format)";
const NUMBERS: [&str; 8] = ["10", "12", "15", "20", "25", "35", "50", "100+"];
const ENDINGS: [&str; 8] = [".jpg", ".jpg", ".jpg", ".png", ".jpg", ".jpg", ".jpg", ".webp"];

fn sentence(rng: &mut Rng) -> &'static str {
    if one_in(rng, 20) { pick(rng, ODD_SENTENCES) } else { pick(rng, SENTENCES) }
}

/// The forms that are seen, and a few that only the documentation of the site knows.
fn followers(rng: &mut Rng, out: &mut String) {
    let (whole, part) = (rng.u32(1..1000), rng.u32(1..10));
    // Writing to a text cannot fail.
    let _ = match rng.u32(0..1000) {
        0..170 => write!(out, "{}", whole - 1),
        170..240 => write!(out, "{}M", 1 + whole % 15),
        240..250 => write!(out, "{}.{part}M", 1 + whole % 9),
        250..260 => write!(out, "{}.{part}k", 1 + whole % 99),
        260..270 => write!(out, "{part},{whole:03}"),
        270..274 => write!(out, "{whole}K"),
        274..278 => write!(out, " {whole}k "),
        _ => write!(out, "{whole}k"),
    };
}

/// A UUID of version 4.
fn unique_id(rng: &mut Rng, out: &mut String) {
    let bits = rng.u128(..) & !(0xf << 76) & !(3 << 62) | 4 << 76 | 2 << 62;
    let mut memory = [0; 32];
    let digits = hex(bits, &mut memory);
    let mut from = 0;
    for (part, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if part > 0 {
            out.push('-');
        }
        out.push_str(&digits[from..from + length]);
        from += length;
    }
}

fn hex(bits: u128, digits: &mut [u8; 32]) -> &str {
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bits.to_be_bytes()) {
        *pair = [byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    }
    std::str::from_utf8(digits).expect("digits are ASCII")
}

fn set(text: &mut String, value: &str) {
    text.clear();
    text.push_str(value);
}

fn push_all(text: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| text.push_str(piece));
}
