"""The limits let through what they say they do."""

from tumorlens import limits


def test_a_picture_of_8000_by_8000_pixels_is_decoded_and_a_volume_fills_no_more_than_a_gibibyte() -> None:
    assert limits.PIXELS >= 8000 * 8000
    assert limits.VOXELS * 4 <= 2**30


def test_the_largest_file_has_the_time_to_come_at_a_megabyte_a_second() -> None:
    assert limits.FILE / limits.MB <= limits.MESSAGE_SECONDS
    assert limits.PDU / limits.MB <= limits.PDU_SECONDS


def test_the_largest_association_request_of_the_standard_is_taken() -> None:
    contexts, syntaxes, uid = 128, 40, 64 // 2  # UIDs of transfer syntaxes are half as long as they may be
    assert contexts * (8 + 4 + 64 + syntaxes * (4 + uid)) <= limits.REQUEST
