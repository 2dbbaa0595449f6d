//! The ports that questions leave from: RFC 5452 §9.2.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use rand::Rng;

use super::{Family, SocketKey};

/// A few sockets for each address family, at ports that the system draws.
///
/// A port of its own for each question would be harder to guess, but costs more than the question itself.
/// So there are some, each is used for a while only, and ids and letters are drawn beside it.
pub(super) struct Pool {
    sockets: Vec<Socket>,
    /// How many are used at a time in a family.
    size: usize,
    opened: u64,
    /// Until when none is opened beside those there are, since the system had none to give.
    scarce: Duration,
}

struct Socket {
    key: SocketKey,
    /// The questions that wait for an answer here, by id.
    waiting: HashMap<u16, u32, BuildHasherDefault<Drawn>>,
    asked: u32,
    since: Duration,
    /// It sends nothing new, and is closed when the last answer is in.
    retired: bool,
}

impl Pool {
    pub(super) const fn new(size: usize) -> Self {
        Self { sockets: Vec::new(), size, opened: 0, scarce: Duration::ZERO }
    }

    /// A socket for the next questions, drawn among those in use; a new one while there are few.
    pub(super) fn pick(&mut self, now: Duration, family: Family, random: &mut impl Rng) -> SocketKey {
        let more = self.sockets.len() < MAX_SOCKETS && now >= self.scarce;
        if more {
            for socket in &mut self.sockets {
                socket.retired |= socket.asked >= MAX_ASKED || now.saturating_sub(socket.since) >= MAX_AGE;
            }
        }
        let usable = |socket: &&Socket| !socket.retired && socket.key.family == family;
        let count = self.sockets.iter().filter(usable).count();
        let size = u32::try_from(self.size).unwrap_or(1).max(1);
        let draw = usize::try_from(random.next_u32() % size).unwrap_or_default();
        if count == 0 || (draw >= count && more) {
            return self.open(now, family);
        }
        let chosen = self.sockets.iter().filter(usable).nth(draw % count);
        chosen.map_or(SocketKey { family, number: 0 }, |socket| socket.key)
    }

    fn open(&mut self, now: Duration, family: Family) -> SocketKey {
        self.opened += 1;
        let key = SocketKey { family, number: self.opened };
        let waiting = HashMap::default();
        self.sockets.push(Socket { key, waiting, asked: 0, since: now, retired: false });
        key
    }

    /// Draws an id that nothing at this socket waits for. `None` when it has far too many already.
    pub(super) fn draw_id(&mut self, key: SocketKey, question: u32, random: &mut impl Rng) -> Option<u16> {
        let socket = self.get(key)?;
        for _ in 0..DRAWS {
            let [id, _] = halves(random.next_u32());
            if let std::collections::hash_map::Entry::Vacant(vacant) = socket.waiting.entry(id) {
                vacant.insert(question);
                socket.asked += 1;
                return Some(id);
            }
        }
        None
    }

    /// The question that waits at this socket with this id.
    pub(super) fn waiting(&mut self, key: SocketKey, id: u16) -> Option<u32> {
        self.get(key)?.waiting.get(&id).copied()
    }

    pub(super) fn release(&mut self, key: SocketKey, id: u16) {
        if let Some(socket) = self.get(key) {
            socket.waiting.remove(&id);
        }
    }

    /// A retired socket that nothing waits at any more; it is forgotten.
    pub(super) fn drained(&mut self) -> Option<SocketKey> {
        let at = self.sockets.iter().position(|socket| socket.retired && socket.waiting.is_empty())?;
        Some(self.sockets.swap_remove(at).key)
    }

    /// Forgets a socket that could not be opened or does not work, and gives back what waited there. Others of
    /// its family serve for longer.
    pub(super) fn remove(&mut self, now: Duration, key: SocketKey) -> Vec<u32> {
        self.scarce = now.saturating_add(SCARCE);
        for socket in self.sockets.iter_mut().filter(|socket| socket.key.family == key.family) {
            socket.retired = false;
        }
        match self.sockets.iter().position(|socket| socket.key == key) {
            Some(at) => self.sockets.swap_remove(at).waiting.into_values().collect(),
            None => Vec::new(),
        }
    }

    /// Whether there is any for this family.
    pub(super) fn serves(&self, family: Family) -> bool {
        self.sockets.iter().any(|socket| socket.key.family == family)
    }

    pub(super) fn clear(&mut self) {
        self.sockets.clear();
    }

    fn get(&mut self, key: SocketKey) -> Option<&mut Socket> {
        self.sockets.iter_mut().find(|socket| socket.key == key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }
}

/// Ids are drawn by us, so nobody can choose some that collide: to spread them is enough.
#[derive(Default)]
struct Drawn(u64);

impl Hasher for Drawn {
    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u16((*octet).into()));
    }

    fn write_u16(&mut self, id: u16) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// Sockets of both families, those that drain among them.
pub(super) const MAX_SOCKETS: usize = 64;
/// After so many questions, and
const MAX_ASKED: u32 = 1 << 15;
/// after so long, another port is drawn: a port that somebody has found out is of use until then.
const MAX_AGE: Duration = Duration::from_secs(60);
/// When the system is asked for another socket after it had none.
const SCARCE: Duration = Duration::from_secs(1);
/// Even a socket that is a quarter full gives an id within so many draws, but once in 4 milliards.
const DRAWS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};
    use std::collections::HashSet;

    #[test]
    fn sockets_are_opened_as_needed_and_replaced_in_time() {
        let mut random = StdRng::from_seed([7; 32]);
        let mut pool = Pool::new(4);
        let first: HashSet<_> = (0..99).map(|_| pool.pick(Duration::ZERO, Family::V4, &mut random)).collect();
        assert_eq!((first.len(), pool.len()), (4, 4));
        let six = pool.pick(Duration::ZERO, Family::V6, &mut random);
        assert!(!first.contains(&six));
        let kept = *first.iter().next().unwrap();
        let id = pool.draw_id(kept, 5, &mut random).unwrap();
        let later = MAX_AGE + Duration::from_secs(1);
        let second: HashSet<_> = (0..99).map(|_| pool.pick(later, Family::V4, &mut random)).collect();
        assert!(second.is_disjoint(&first) && second.len() == 4);
        let drained: HashSet<_> = std::iter::from_fn(|| pool.drained()).collect();
        assert!(drained.len() == 4 && !drained.contains(&kept) && drained.contains(&six));
        assert_eq!(pool.waiting(kept, id), Some(5), "a retired one still takes its last answer");
        pool.release(kept, id);
        assert_eq!(pool.drained(), Some(kept));
    }

    #[test]
    fn a_socket_is_replaced_after_so_many_questions() {
        let mut random = StdRng::from_seed([7; 32]);
        let mut pool = Pool::new(1);
        let first = pool.pick(Duration::ZERO, Family::V4, &mut random);
        for _ in 0..MAX_ASKED {
            let id = pool.draw_id(first, 0, &mut random).unwrap();
            pool.release(first, id);
        }
        assert_ne!(pool.pick(Duration::ZERO, Family::V4, &mut random), first);
    }

    #[test]
    fn ids_that_wait_are_not_drawn_again_and_a_full_socket_says_so() {
        let mut random = StdRng::from_seed([7; 32]);
        let mut pool = Pool::new(1);
        let key = pool.pick(Duration::ZERO, Family::V4, &mut random);
        let ids: Vec<_> = (0..60_000).map_while(|index| pool.draw_id(key, index, &mut random)).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.len() > 10_000);
        assert_eq!(pool.remove(Duration::ZERO, key).len(), ids.len());
        assert_eq!(pool.draw_id(key, 0, &mut random), None);
    }
}
