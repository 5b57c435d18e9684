"""What the fields of sessions, proofs and second factors mean."""

OF_SCHEMA: dict[tuple[str, str], str] = {
    ("MyTenant", "name"): "What people call the tenant.",
    ("MyTenant", "role"): "What the person is in the tenant.",
    ("MyTenant", "is_current"): "Whether this token is for the tenant.",
    ("Session", "is_current"): "Whether the request came in this session.",
    ("Session", "created_at"): "When the person signed in.",
    ("Session", "expires_at"): "When the session ends at the latest.",
    ("StepUp", "totp_code"): "Code of the second factor; needed when one is enrolled.",
    ("StepUp", "password"): "Your password; needed when no second factor is enrolled.",
    ("Login", "totp_code"): "Code of the second factor, or a recovery code; needed when one is enrolled.",
    ("ResetPassword", "token"): "The token that came by mail.",
    ("ResetPassword", "password"): "The new password, 12 to 128 characters.",
    ("ChangePassword", "password"): "The present password.",
    ("TotpEnrolment", "secret"): "The shared secret, to be typed where the QR code cannot be read; shown this once.",
    ("Accepted", "status"): "Always accepted.",
}
OF_FIELD: dict[str, str] = {
    "address": "Network address from which it was used last.",
    "agent": "The program that used it last, as it named itself.",
    "code": "The code that the authenticator app shows; where one is removed also a recovery code.",
    "device_token": "Send it with the next sign-in: then strangers who guess the password do not slow you down.",
    "ended": "How many sessions ended.",
    "has_second_factor": "Whether a second factor was used, or is enrolled.",
    "needs_second_factor": "true: the tenant lets you do nothing until a second factor is enrolled.",
    "new_password": "The new password, 12 to 128 characters.",
    "otpauth_uri": "What an authenticator app reads from the QR code.",
    "qr_svg": "The otpauth_uri as a QR code: an SVG image.",
    "recovery_codes": "Ten codes that each work once in place of the second factor; shown this once.",
    "stepped_up_until": "Until when the proof counts.",
    "tenants": "The tenants to which the person belongs.",
}
