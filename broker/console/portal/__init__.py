"""The access portal in the browser: sign-in, start page, and consent to clients."""
