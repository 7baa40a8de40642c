//! What a message has to say.

/// Fails with the whole message unless it has all of these words.
macro_rules! says {
    ($message:expr, $($words:expr),+ $(,)?) => {{
        let message = $message.to_string();
        $(assert!(message.contains($words), "{message}");)+
    }};
}
